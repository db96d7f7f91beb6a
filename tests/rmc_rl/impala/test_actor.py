from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rmc_agents import heads
from rmc_agents.tree import map_tree
from rmc_rl.config import EnvConfig
from rmc_rl.environment import make_vector
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.rollout import Rollout
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
        recomputed = heads.log_prob(output.logits[:-1], torch.from_numpy(rollout.action))
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
        from rmc_rl.environment import interface

        spaces = interface(games.single_observation_space, games.single_action_space)
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
