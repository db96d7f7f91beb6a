from __future__ import annotations

import time

import numpy as np
import pytest

from rmc_rl.config import EnvConfig
from rmc_rl.environment import make_vector
from rmc_rl.impala.games import Games
from tests.rmc_rl.impala.scripted import ScriptedEnv
from tests.rmc_rl.impala.test_actor import Shaky

VIEWPORT = EnvConfig("viewport", "rmc_envs:rmc/MiniPacmanViewport-v0", {})


def test_the_row_after_a_final_one_is_a_reset() -> None:
    games = Games(ScriptedEnv([2, 3]), seed=0)
    assert games.reset.all()
    action = np.array([1, 2])
    resets, last_actions, last_rewards, rewards = [], [], [], []
    for _ in range(4):
        games.step(action)
        resets.append(games.reset.tolist())
        last_actions.append(games.last_action.tolist())
        last_rewards.append(games.last_reward.tolist())
        rewards.append(games.reward.tolist())
    assert resets == [[False, False], [False, False], [True, False], [False, True]]
    assert last_actions == [[1, 2], [1, 2], [0, 2], [1, 0]]
    assert last_rewards == [[0, 0], [1, 1], [0, 2], [10, 0]]
    assert rewards == [[0, 0], [1, 1], [-1000, 2], [10, -1000]], "as it came"


def test_the_time_of_the_environment_s_steps_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock) ** 2))
    games = Games(Shaky([2, 3], {1}), seed=0)
    for seconds in (1, 1 + 5, 1 + 5 + 9):  # between calls of the clock, the failed step's too
        games.step(np.zeros(2, int))
        assert games.env_seconds == seconds


def test_the_record_is_of_one_unroll() -> None:
    games = Games(Shaky([2, 3], {5}), seed=0)
    for _ in range(4):
        games.step(np.zeros(2, int))
    assert games.take_record() == ([1.0, 3.0], [2, 3], 0)
    games.step(np.zeros(2, int))
    assert games.take_record() == ([], [], 1)
    assert games.take_record() == ([], [], 0)


def test_a_state_goes_on_exactly() -> None:
    actions = np.random.default_rng(0).integers(0, 5, (60, 4))
    first, second = Games(make_vector(VIEWPORT, 4), seed=1), Games(make_vector(VIEWPORT, 4), seed=2)
    assert first.can_be_restored
    for action in actions[:20]:
        first.step(action)
    first.take_record()
    second.set_state(first.get_state())
    for action in actions[20:]:
        first.step(action)
        second.step(action)
        for name in ("observation", "reset", "last_action", "last_reward", "reward", "terminated"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.take_record() == second.take_record()


def test_what_an_environment_cannot_restore_is_left_out() -> None:
    games = Games(ScriptedEnv([2, 3]), seed=0)
    assert not games.can_be_restored
    assert games.get_state()["env"] == {}


@pytest.mark.parametrize("name", ["final", "return", "env", "observation"])
def test_a_state_that_lacks_something_is_refused(name: str) -> None:
    games = Games(make_vector(VIEWPORT, 2), seed=1)
    state = games.get_state()
    del state[name]
    with pytest.raises(KeyError):
        games.set_state(state)
