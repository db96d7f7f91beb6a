from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rmc_agents import heads
from rmc_agents.tree import map_tree
from rmc_rl.building import build_agent
from rmc_rl.config import EnvConfig, make_config
from rmc_rl.environment import make_vector
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.rollout import Rollout
from rmc_rl.spaces import interface
from tests.recorder import again
from tests.rmc_rl.impala.scripted import ScriptedEnv, small_agent

LENGTHS = [2, 3, 50]


def make_actor(steps: int = 7, core: str = "rmc", lengths: list[int] | None = None) -> Actor:
    torch.manual_seed(0)
    return Actor(ScriptedEnv(lengths or LENGTHS), small_agent(core), steps, seed=5)


def test_rows_follow_the_contract() -> None:
    rollout = make_actor().unroll()
    # Game 0 ends after 2 steps: rows 0, 1, 2 (final), then the reset row 3 of the next episode.
    assert rollout.observation[:, 0, 1:].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]
    assert rollout.reset[:, 0].tolist() == [True, False, False, True, False, False, True, False]
    assert rollout.valid[:, 0].tolist() == [True, True, False, True, True, False, True]
    assert rollout.reward[:, 0].tolist() == [0, 1, -1000, 10, 11, -1000, 20], "of steps that only reset too, as it came"
    assert rollout.terminated[:, 0].tolist() == [False, True, False, False, True, False, False]
    # Game 1 is truncated after 3 steps: never terminated.
    assert not rollout.terminated[:, 1].any()
    assert rollout.reset[:, 1].tolist() == [True, False, False, False, True, False, False, False]
    assert rollout.reset[:, 2].tolist() == [True] + [False] * 7


def test_last_action_and_reward_led_to_the_row() -> None:
    rollout = make_actor().unroll()
    for t in range(7):
        follows = ~rollout.reset[t + 1]
        assert (rollout.last_action[t + 1][follows] == rollout.action[t][follows]).all()
        assert (rollout.last_reward[t + 1][follows] == rollout.reward[t][follows]).all()
        assert (rollout.last_action[t + 1][~follows] == 0).all()
        assert (rollout.last_reward[t + 1][~follows] == 0).all()


def test_unrolls_overlap_by_one_row_and_the_memory_goes_on() -> None:
    actor = make_actor()
    first, second = actor.unroll(), actor.unroll()
    for name in ("observation", "reset", "last_action", "last_reward"):
        np.testing.assert_array_equal(getattr(first, name)[-1], getattr(second, name)[0])
    state = map_tree(torch.from_numpy, first.core_state)
    _, after = actor.agent(*rows(first, slice(0, -1)), state)
    torch.testing.assert_close(after, torch.from_numpy(second.core_state))


def rows(rollout: Rollout, part: slice) -> list[torch.Tensor]:
    fields = (rollout.observation, rollout.last_action, rollout.last_reward, rollout.reset)
    return [torch.from_numpy(field[part]) for field in fields]


@pytest.mark.parametrize("core", ["rmc", "lstm"])
def test_the_learner_computes_the_log_probability_that_acting_had(core: str) -> None:
    """Acting step by step and learning on the whole unroll agree: the test that guards the project."""
    actor = make_actor(steps=20, core=core)
    for _ in range(3):
        rollout = actor.unroll()
        output, _ = actor.agent(*rows(rollout, slice(None)), map_tree(torch.from_numpy, rollout.core_state))
        recomputed = heads.log_prob(output.policy[:-1], torch.from_numpy(rollout.action))
        np.testing.assert_allclose(recomputed.detach(), rollout.behaviour_log_prob, atol=2e-6)


def test_episodes_are_counted_over_valid_steps_only() -> None:
    actor = make_actor(steps=8)
    rollout = actor.unroll()
    # Game 0 ends at steps 2 and 5 and 8, game 1 at steps 3 and 7.
    assert sorted(zip(rollout.episode_length, rollout.episode_return, strict=True)) == [
        (2, 1.0), (2, 21.0), (2, 41.0), (3, 3.0), (3, 33.0),
    ]  # fmt: skip


def test_an_episode_may_span_unrolls() -> None:
    actor = make_actor(steps=2, lengths=[5])
    ended = [actor.unroll() for _ in range(3)]
    assert [list(rollout.episode_length) for rollout in ended] == [[], [], [5]]
    assert ended[2].episode_return == [0 + 1 + 2 + 3 + 4]


def test_same_seed_same_rollouts() -> None:
    for first, second in zip([make_actor().unroll()], [make_actor().unroll()], strict=True):
        np.testing.assert_array_equal(first.action, second.action)
        np.testing.assert_array_equal(first.behaviour_log_prob, second.behaviour_log_prob)


def test_weights_version_is_constant_within_an_unroll() -> None:
    actor = make_actor()
    actor.load_weights({name: value.numpy() for name, value in actor.agent.state_dict().items()}, 17)
    assert actor.unroll().weights_version == 17


def test_state_round_trip_goes_on_exactly() -> None:
    env = EnvConfig("viewport", "rmc_envs:rmc/MiniPacmanViewport-v0", {})

    def fresh(seed: int) -> Actor:
        torch.manual_seed(3)
        games = make_vector(env, 4)
        from rmc_rl.building import build_agent
        from rmc_rl.config import make_config

        spaces = interface(games)
        return Actor(games, build_agent(make_config("core.head_size=4"), spaces, seed=0), 10, seed)

    actor = fresh(1)
    actor.unroll()
    state = actor.get_state()
    expected = [actor.unroll() for _ in range(8)]
    other = fresh(2)
    assert other.set_state(state)
    for rollout in expected:
        again = other.unroll()
        np.testing.assert_array_equal(again.observation, rollout.observation)
        np.testing.assert_array_equal(again.action, rollout.action)
        np.testing.assert_array_equal(again.reset, rollout.reset)
        np.testing.assert_array_equal(again.core_state, rollout.core_state)
        np.testing.assert_array_equal(again.episode_return, rollout.episode_return)


def test_an_environment_without_state_starts_new_episodes() -> None:
    actor = make_actor()
    actor.unroll()
    assert make_actor().set_state(actor.get_state()) is False


def test_another_autoreset_mode_is_refused() -> None:
    env = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(UserError, match="NEXT_STEP"):
        Actor(env, small_agent(), 3, 0)


class Shaky(ScriptedEnv):
    """Raises in the calls of step whose numbers it is given."""

    def __init__(self, lengths: list[int], raises: set[int]) -> None:
        super().__init__(lengths)
        self.calls, self.raises = 0, raises

    def step(self, actions: np.ndarray) -> Any:
        self.calls += 1
        if self.calls in self.raises:
            raise RuntimeError("out of marbles")
        return super().step(actions)


def test_an_environment_that_raises_once_starts_new_episodes() -> None:
    torch.manual_seed(0)
    actor = Actor(Shaky([9, 4], {3}), small_agent(), 7, seed=5)
    rollout = actor.unroll()
    assert rollout.env_failures == 1
    assert rollout.reset[:, 0].tolist() == [True, False, False, True, False, False, False, False]
    assert rollout.valid[2].tolist() == [False, False], "what the failed step did cannot be known"
    assert rollout.observation[:, 0, 2].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert rollout.reward[2].tolist() == [0, 0]
    assert not rollout.terminated[2].any()
    assert (rollout.last_action[3] == 0).all()
    assert rollout.episode_length.tolist() == [4], "the episodes given up are not counted"
    assert actor.unroll().env_failures == 0


def test_an_environment_that_keeps_raising_is_named() -> None:
    actor = Actor(Shaky([9], set(range(5, 100))), small_agent(), 3, 0)
    actor.unroll()
    with pytest.raises(UserError, match=r"Shaky keeps raising in step, 4 times .* RuntimeError: out of marbles"):
        [actor.unroll() for _ in range(3)]


def test_failures_far_apart_are_survived() -> None:
    actor = Actor(Shaky([9], set(range(5, 500, 10))), small_agent(), 5, 0)
    assert sum(actor.unroll().env_failures for _ in range(40)) == 20


def test_an_environment_that_raises_in_reset_too_is_named() -> None:
    class Hopeless(Shaky):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            if self.calls:
                raise OSError("and no box")
            return super().reset(seed=seed)

    with pytest.raises(UserError, match=r"out of marbles\) and then in reset: OSError: and no box"):
        Actor(Hopeless([3], {1}), small_agent(), 3, 0).unroll()


def test_an_environment_that_raises_in_its_first_reset_is_named() -> None:
    class Empty(ScriptedEnv):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            raise OSError("no box\nof marbles")

    with pytest.raises(UserError, match=r"the environment Empty raised in reset: OSError: no box of marbles$"):
        Actor(Empty([3]), small_agent(), 3, 0)


VIEWPORT = EnvConfig("viewport", "rmc_envs:rmc/MiniPacmanViewport-v0", {})


def viewport_actor(*sizes: int, seed: int = 1, record: Any = None) -> Actor:
    """Groups of these sizes."""
    envs = [make_vector(VIEWPORT, size) for size in sizes]
    spaces = interface(envs[0])
    return Actor(envs, build_agent(make_config("core.head_size=4"), spaces, seed=0), 10, seed, record)


def fields(rollout: Rollout) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in vars(rollout).items()}


def assert_same(first: Rollout, second: Rollout) -> None:
    one, two = fields(first), fields(second)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
        assert one[name].dtype == two[name].dtype, name


def test_groups_are_the_same_games_side_by_side() -> None:
    torch.manual_seed(0)
    agent = small_agent()
    together, apart = (
        Actor(ScriptedEnv(LENGTHS), agent, 9, 5),
        Actor([ScriptedEnv([2, 3]), ScriptedEnv([50])], agent, 9, 5),
    )
    for _ in range(3):
        one, two = together.unroll(), apart.unroll()
        for name in ("reset", "reward"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        # Within a group the last game is number 0, which terminates; the numbers are no part of the play.
        np.testing.assert_array_equal(one.observation[..., 1:], two.observation[..., 1:])
        np.testing.assert_array_equal(one.terminated[:, :2], two.terminated[:, :2])
        assert sorted(one.episode_return) == sorted(two.episode_return)
        assert sorted(one.episode_length) == sorted(two.episode_length)
        assert one.core_state.shape == two.core_state.shape


def test_seeds_of_groups_follow_one_another() -> None:
    one, two = (viewport_actor(*sizes).get_state()["env"] for sizes in ((5,), (3, 2)))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert len(np.unique(one["stream"], axis=0)) == 5


@pytest.mark.parametrize("core", ["rmc", "lstm"])
@pytest.mark.parametrize("record", [None, again])
def test_groups_act_as_the_learner_computes(core: str, record: Any) -> None:
    torch.manual_seed(0)
    actor = Actor([ScriptedEnv([2, 3]), ScriptedEnv([50, 7, 4])], small_agent(core), 20, 5, record)
    for _ in range(3):
        rollout = actor.unroll()
        given = [
            torch.as_tensor(x) for x in (rollout.observation, rollout.last_action, rollout.last_reward, rollout.reset)
        ]
        output, _ = actor.agent(*given, map_tree(torch.as_tensor, rollout.core_state))
        recomputed = heads.log_prob(output.policy[:-1], torch.as_tensor(rollout.action))
        np.testing.assert_allclose(recomputed.detach(), rollout.behaviour_log_prob, atol=2e-6)
        follows = ~rollout.reset[1:]
        assert (rollout.last_action[1:][follows] == rollout.action[follows]).all()
        assert (rollout.last_reward[1:][follows] == rollout.reward[follows]).all()


@pytest.mark.parametrize("sizes", [(4,), (3, 1)])
def test_tensors_on_the_device_hold_what_arrays_hold(sizes: tuple[int, ...]) -> None:
    arrays, tensors = viewport_actor(*sizes), viewport_actor(*sizes, record=again)
    kept = []
    for _ in range(4):
        expected, rollout = arrays.unroll(), tensors.unroll()
        assert all(
            isinstance(value, torch.Tensor) for value in (rollout.observation, rollout.core_state, rollout.valid)
        )
        assert_same(rollout, expected)
        kept.append((rollout, expected))
    for rollout, expected in kept:
        assert_same(rollout, expected)  # later unrolls have not written there


def test_autograd_takes_the_tensors() -> None:
    """Those of inference mode it refuses."""
    actor = viewport_actor(3, 2, record=again)
    actor.unroll()
    rollout: Any = actor.unroll()
    output, _ = actor.agent(
        rollout.observation, rollout.last_action, rollout.last_reward, rollout.reset, rollout.core_state
    )
    (heads.log_prob(output.policy[:-1], rollout.action) * rollout.reward).sum().backward()
    for name in ("observation", "reset", "action", "reward", "terminated", "behaviour_log_prob", "core_state"):
        assert not getattr(rollout, name).is_inference(), name


@pytest.mark.parametrize("record", [None, again])
def test_groups_go_on_exactly_from_a_state(record: Any) -> None:
    actor = viewport_actor(3, 2, record=record)
    actor.unroll()
    state = actor.get_state()
    expected = [actor.unroll() for _ in range(6)]
    other = viewport_actor(3, 2, seed=2, record=record)
    other.unroll()
    assert other.set_state(state)
    for rollout in expected:
        assert_same(other.unroll(), rollout)


def test_a_state_does_not_tell_the_groups() -> None:
    actor = viewport_actor(3, 2)
    actor.unroll()
    state, expected = actor.get_state(), actor.unroll()
    for sizes in ((5,), (1, 4), (1, 2, 2)):
        other = viewport_actor(*sizes, seed=2)
        assert other.set_state(state)
        rollout = other.unroll()
        for name in ("observation", "reset", "last_action", "last_reward"):
            np.testing.assert_array_equal(getattr(rollout, name)[0], getattr(expected, name)[0])
        np.testing.assert_array_equal(rollout.core_state, expected.core_state)


def test_a_damaged_state_of_groups_is_named() -> None:
    actor = viewport_actor(3, 2)
    state = actor.get_state()
    for damage in ({"return": np.zeros(())}, {"core_state": np.zeros((5, 1))}, {"final": None}):
        with pytest.raises(UserError, match="the checkpoint's record of the games is damaged"):
            actor.set_state(state | damage)


def test_a_group_that_raises_leaves_the_others_alone() -> None:
    torch.manual_seed(0)
    actor = Actor([Shaky([9], {3}), ScriptedEnv([4])], small_agent(), 7, seed=5)
    rollout = actor.unroll()
    assert rollout.env_failures == 1
    assert rollout.reset[:, 0].tolist() == [True, False, False, True, False, False, False, False]
    assert rollout.reset[:, 1].tolist() == [True, False, False, False, False, True, False, False]
    assert rollout.episode_length.tolist() == [4]


class Remembering(ScriptedEnv):
    """Its state is not one array a field with one entry a game."""

    def get_state(self) -> dict[str, Any]:
        return {"calls": np.asarray(len(self.actions)), "done": self.done.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


def test_a_state_of_another_kind_is_kept_of_one_group_and_cannot_be_joined() -> None:
    torch.manual_seed(0)
    agent = small_agent()
    one, two = Actor(Remembering([2, 3]), agent, 3, 5), Actor([Remembering([2]), Remembering([3])], agent, 3, 5)
    one.unroll()
    assert one.get_state()["env"]["calls"] == 3
    assert one.set_state(one.get_state())
    assert two.get_state()["env"] == {}
    assert not two.set_state(two.get_state())
    assert not two.set_state(one.get_state())
