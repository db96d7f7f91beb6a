from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_agents.actions import Continuous, MultiDiscrete
from rmc_rl.errors import UserError
from rmc_rl.evaluate import evaluate
from rmc_rl.policy import Policy, PolicyState, action_streams
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import Step


class Blind(gymnasium.Env[np.ndarray, np.int64]):
    """Shows zeros, draws no picture, never ends."""

    observation_space = gymnasium.spaces.Box(0, 255, (5, 5, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(5)
    action_names = ("a", "b", "c", "d", "e")

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((5, 5, 3), np.uint8), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros((5, 5, 3), np.uint8), -1.0, False, False, {}


class Narrow(Blind):
    action_space = gymnasium.spaces.Discrete(2)


class Undrawable(Blind):
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def render(self) -> None:
        raise gymnasium.error.DependencyNotInstalled("a drawing library is missing")


@pytest.fixture
def own_games() -> Any:
    games = {"test/Blind-v0": Blind, "test/Narrow-v0": Narrow, "test/Undrawable-v0": Undrawable}
    for name, entry in games.items():
        gymnasium.register(name, entry_point=entry)
    yield
    for name in games:
        del gymnasium.registry[name]


def play(session: Session) -> list[Step]:
    steps = [session.advance()]
    while not steps[-1].ending:
        steps.append(session.advance())
    return steps


@pytest.mark.parametrize("greedy", [False, True])
def test_it_plays_the_episodes_that_evaluation_plays(policy: Policy, greedy: bool) -> None:
    found = evaluate(policy, 4, greedy=greedy, seed=300)
    session = Session(policy, seed=300, greedy=greedy)
    episodes = [play(session) for _ in range(4)]
    session.close()
    assert [steps[-1].episode_return for steps in episodes] == found.returns.tolist()
    assert [steps[-1].number for steps in episodes] == found.lengths.tolist()
    assert [steps[0].seed for steps in episodes] == [300, 301, 302, 303]
    assert len(set(found.lengths.tolist())) > 1  # otherwise this would compare little


def test_a_step_tells_what_happened(session: Session) -> None:
    steps = play(session)
    assert [step.number for step in steps] == list(range(len(steps)))
    assert [step.action is None for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].ending in ("terminated", "truncated")
    assert steps[0].reward == 0.0
    np.testing.assert_allclose([step.episode_return for step in steps], np.cumsum([step.reward for step in steps]))
    for step in steps:
        assert step.board is not None
        assert step.board.shape[-1] == 3
        assert step.board.dtype == np.uint8
        assert step.observation.shape == (5, 5, 3)
        assert step.probabilities.shape == (5,)
        assert step.probabilities.sum() == pytest.approx(1.0)
        assert [part.values.shape for part in step.memory] == [(4, 32)]
        assert step.entropy == pytest.approx(-(step.probabilities * np.log(step.probabilities)).sum(), rel=1e-4)
        assert step.attention is not None
        assert step.attention.shape == (1, 4, 4, 5)
        np.testing.assert_allclose(step.attention.sum(-1), 1.0, rtol=1e-5)
        assert [(gate.name, gate.values.shape) for gate in step.gates] == [
            ("input gate", (4, 1)),
            ("forget gate", (4, 1)),
        ]
        assert all(((gate.values > 0) & (gate.values < 1)).all() for gate in step.gates)
        assert not step.by_person
    memories = [step.memory[0].values.tobytes() for step in steps]
    assert len(set(memories)) > 1


def test_the_memory_belongs_to_one_episode(policy: Policy) -> None:
    session = Session(policy, seed=100)
    play(session)
    second = session.advance()
    session.close()
    fresh = Session(policy, seed=101)
    first = fresh.advance()
    fresh.close()
    np.testing.assert_array_equal(second.memory[0].values, first.memory[0].values)
    np.testing.assert_array_equal(second.observation, first.observation)


def test_greedy_takes_the_likeliest(policy: Policy) -> None:
    session = Session(policy, seed=100, greedy=True)
    steps = play(session)
    session.close()
    assert all(step.action == step.probabilities.argmax() for step in steps[:-1])


def test_greedy_steps_use_up_their_numbers_too(policy: Policy) -> None:
    session = Session(policy, seed=100, greedy=True)
    session.advance()
    session.advance()
    session.greedy = False
    step = session.advance()
    session.close()
    third = action_streams([100])[0].random(3)[2]
    assert step.action == (step.probabilities.cumsum() > third).argmax()


def test_max_steps_cuts_an_episode_short(policy: Policy) -> None:
    session = Session(policy, seed=100, max_steps=3)
    steps = play(session)
    session.close()
    assert (steps[-1].number, steps[-1].ending, steps[-1].action) == (3, "cut short", None)


def test_next_episode_leaves_the_present_one(session: Session) -> None:
    session.advance()
    session.advance()
    step = session.next_episode()
    assert (step.episode, step.seed, step.number, step.episode_return) == (1, 101, 0, 0.0)
    assert session.advance().number == 1


def test_another_seed_goes_on_from_there(session: Session) -> None:
    session.advance()
    first = session.next_episode(500)
    assert (first.episode, first.seed, first.number) == (1, 500, 0)
    assert session.next_episode().seed == 501
    again = session.next_episode(500)
    np.testing.assert_array_equal(again.observation, first.observation)
    assert (again.value, again.action) == (first.value, first.action)


def test_a_person_decides_and_the_agent_sees_what_came_of_it(policy: Policy) -> None:
    """The memory and value of the step after are those of an agent that had taken the person's action itself."""
    session = Session(policy, seed=100)
    first = session.advance()
    assert isinstance(first.action, int)
    other = (first.action + 1) % 5
    decided = session.decide(other)
    assert (decided.action, decided.by_person, decided.number) == (other, True, 0)
    np.testing.assert_array_equal(decided.memory[0].values, first.memory[0].values)
    second = session.advance()
    session.close()

    env = gymnasium.make("rmc_envs:rmc/MiniPacmanViewport-v0", max_steps=40)
    observation, _ = env.reset(seed=100)
    one, zero = np.ones(1, bool), np.zeros(1, np.float32)
    start = policy.initial_state(1)
    thought = policy.think(observation[None], start, one, zero)
    observation, reward, *_ = env.step(other)
    env.close()
    then = PolicyState(thought.core, np.array([other]))
    thought = policy.think(observation[None], then, ~one, np.array([reward], np.float32))
    np.testing.assert_array_equal(second.observation, observation)
    np.testing.assert_array_equal(second.memory[0].values, thought.core[0].numpy())
    assert second.value == float(thought.value[0])
    assert not second.by_person


def test_a_decision_that_is_none(session: Session) -> None:
    with pytest.raises(ValueError, match="no episode goes on"):
        session.decide(0)
    session.advance()
    for action in (-1, 5):
        with pytest.raises(ValueError, match=f"action: {action} given, one of Discrete"):
            session.decide(action)
    play(session)
    with pytest.raises(ValueError, match="no episode goes on"):
        session.decide(0)


def test_the_largest_entropy_is_that_of_knowing_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.largest_entropy == pytest.approx(np.log(5))
    for actions, expected in (
        (MultiDiscrete([2, 4]), np.log(8)),
        (Continuous([True, True, True]), 3 * np.log(2)),
        (Continuous([True, False]), None),
    ):
        monkeypatch.setattr(session.policy.agent, "actions", actions)
        assert session.largest_entropy == (None if expected is None else pytest.approx(expected))


def test_actions_without_names_are_numbered(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(session.env.unwrapped), "action_names", None)
    assert session.action_names == ("action 0", "action 1", "action 2", "action 3", "action 4")
    monkeypatch.setattr(type(session.env.unwrapped), "action_names", ("one", "two"))
    assert session.action_names[0] == "action 0"


@pytest.mark.usefixtures("own_games")
def test_a_game_without_pictures_is_played_all_the_same(policy: Policy) -> None:
    policy.config.env.id, policy.config.env.kwargs = "test/Blind-v0", {}
    session = Session(policy, max_steps=2)
    steps = play(session)
    assert [step.board for step in steps] == [None] * 3
    assert steps[-1].episode_return == -2.0
    assert session.action_names == ("a", "b", "c", "d", "e")


@pytest.mark.usefixtures("own_games")
def test_a_game_that_does_not_fit_is_refused(policy: Policy) -> None:
    policy.config.env.id, policy.config.env.kwargs = "test/Narrow-v0", {}
    with pytest.raises(UserError, match=r"Discrete\(5\)\), this is .*Discrete\(2\)\); if .*config.yaml was changed"):
        Session(policy)
    policy.config.env.kwargs = {"of_another_game": 1}
    with pytest.raises(UserError, match=r"of_another_game.*; if .*config.yaml was changed after training, restore it"):
        Session(policy)


@pytest.mark.usefixtures("own_games")
def test_a_game_that_cannot_draw_says_so(policy: Policy) -> None:
    policy.config.env.id, policy.config.env.kwargs = "test/Undrawable-v0", {}
    with pytest.raises(UserError, match=r"raised in render: .*: a drawing library is missing"):
        Session(policy).advance()


@pytest.mark.parametrize("call", ["reset", "step"])
def test_a_game_that_raises_says_so(session: Session, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nband")

    session.advance()
    monkeypatch.setattr(type(session.env.unwrapped), call, fail)
    with pytest.raises(UserError, match=f"'rmc_envs:rmc/.*' raised in {call}.*: RuntimeError: out of band$"):
        session.advance() if call == "step" else session.next_episode(7)


def test_an_untrusted_module_is_refused(policy: Policy) -> None:
    policy.config.env.id = "some_module:Game-v0"
    with pytest.raises(UserError, match="trust=true"):
        Session(policy)
