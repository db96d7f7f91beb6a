"""State saving and the games' golden trajectories."""

import hashlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

import rmc_envs
from rmc_envs.batch import check_choice, check_count, check_flag

IDS = list(rmc_envs.ENVIRONMENTS)
FixedActions = Callable[[int, int, int], np.ndarray]


def vector(env_id: str, num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(env_id, num_envs=num_envs, **options)


def test_golden_trajectories(fixed_actions: FixedActions) -> None:
    """Changing any of these changes what a seed means: it needs a new version of the environment's id."""
    hashes = {}
    for env_id in IDS:
        envs = vector(env_id, 4)
        digest = hashlib.sha256(envs.reset(seed=2018)[0].tobytes())
        for action in fixed_actions(2000, 4, envs.single_action_space.n):
            for array in envs.step(action)[:4]:
                digest.update(array.tobytes())
        hashes[env_id] = digest.hexdigest()[:16]
    assert hashes == {
        "rmc/BoxWorld-v0": "8738086de5ab5fba",
        "rmc/BoxWorldViewport-v0": "9bc3aee28ba54178",
        "rmc/MiniPacman-v0": "4cdc2b8d241a43d9",
        "rmc/MiniPacmanViewport-v0": "e657898fdad8db00",
        "rmc/RepeatFirst-v0": "75d585bf31f99697",
    }


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("saved_after", [0, 1, 137])
def test_restored_games_go_on_exactly(env_id: str, saved_after: int, fixed_actions: FixedActions) -> None:
    envs = vector(env_id, 6)
    actions = fixed_actions(600, 6, envs.single_action_space.n)
    envs.reset(seed=4)
    for action in actions[:saved_after]:
        envs.step(action)
    state = envs.get_state()
    expected = [envs.step(action)[:4] for action in actions[saved_after:]]
    fresh = vector(env_id, 6)
    for target in (envs, fresh):
        target.set_state(state)
        for action, rows in zip(actions[saved_after:], expected, strict=True):
            for array, other in zip(target.step(action), rows, strict=False):
                np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("env_id", IDS)
def test_one_game_moves_from_a_batch_to_the_scalar_face(env_id: str, fixed_actions: FixedActions) -> None:
    envs, env = vector(env_id, 3), gymnasium.make(env_id).unwrapped
    envs.reset(seed=1)
    env.set_state({name: array[2:] for name, array in envs.get_state().items()})
    for action in fixed_actions(200, 3, envs.single_action_space.n):
        observations, rewards, terminated, truncated, _ = envs.step(action)
        row = env.step(int(action[2]))
        np.testing.assert_array_equal(row[0], observations[2])
        assert row[1:4] == (rewards[2], terminated[2], truncated[2])
        if terminated[2] or truncated[2]:
            break


@pytest.mark.parametrize("env_id", IDS)
def test_state_is_a_copy(env_id: str) -> None:
    envs = vector(env_id, 2)
    envs.reset(seed=0)
    state = envs.get_state()
    for array in state.values():
        assert array.shape[0] == 2
        array[...] = 0
    assert envs.get_state()["stream"].any()
    assert envs.get_state()["started"].all()


@pytest.mark.parametrize("env_id", IDS)
def test_state_before_the_first_reset(env_id: str) -> None:
    envs = vector(env_id, 2)
    state = envs.get_state()
    envs.reset(seed=0)
    envs.set_state(state)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step([0, 0])


@pytest.mark.parametrize("env_id", IDS)
def test_wrong_states_are_refused_and_change_nothing(env_id: str) -> None:
    envs = vector(env_id, 2)
    envs.reset(seed=0)
    state = envs.get_state()
    other = vector(env_id, 3)
    other.reset(seed=0)
    wrong: list[dict[str, np.ndarray]] = [
        other.get_state(),
        {name: array for name, array in state.items() if name != "stream"},
        state | {"colour": np.zeros(2)},
        state | {"frame": state["frame"].astype(np.float32)},
        state | {"frame": state["frame"] - 1},
        state | {"stream": np.zeros_like(state["stream"])},
    ]
    for broken in wrong:
        with pytest.raises(ValueError, match="state"):
            envs.set_state(broken)
        after = envs.get_state()
        assert all(np.array_equal(after[name], state[name]) for name in state)
    with pytest.raises(TypeError, match="state must be a mapping"):
        envs.set_state(None)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (2**31, ValueError), (1.5, TypeError), (True, TypeError), ("3", TypeError)]
)
def test_check_count_refuses(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"length must be .*, got"):
        check_count("length", value)


def test_check_count_takes_numpy_integers() -> None:
    assert check_count("length", np.int16(3)) == 3


@pytest.mark.parametrize("value", ["c", "", None, 1, ["a"], np.array(["a", "b"])])
def test_check_choice_refuses(value: Any) -> None:
    with pytest.raises(ValueError, match="letter must be one of a, b, got"):
        check_choice("letter", value, {"a": 1, "b": 2})


@pytest.mark.parametrize("value", [0, 1, "no", None, np.array([True, False])])
def test_check_flag_refuses(value: Any) -> None:
    with pytest.raises(TypeError, match="copy must be True or False, got"):
        check_flag("copy", value)


def test_check_flag_takes_numpy_bools() -> None:
    assert check_flag("copy", np.False_) is False
