from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.repeat_first import memoryless_return


def vector(num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec("rmc/RepeatFirst-v0", num_envs=num_envs, **options)


@pytest.mark.parametrize(("num_symbols", "length"), [(4, 8), (2, 1), (7, 20)])
def test_perfect_memory_earns_one(num_symbols: int, length: int) -> None:
    envs = vector(10, num_symbols=num_symbols, length=length)
    observations, _ = envs.reset(seed=0)
    target = observations.argmax(axis=1)
    total = np.zeros(10)
    for step in range(length):
        observations, rewards, terminated, truncated, _ = envs.step(target)
        total += rewards
        assert (terminated == (step == length - 1)).all()
        assert not truncated.any()
    np.testing.assert_allclose(total, 1.0)
    # the next episode has a target of its own
    observations, rewards, *_ = envs.step(target)
    assert (rewards == 0).all()
    assert (envs.step(observations.argmax(axis=1))[1] == 1 / length).all()


def test_repeating_the_present_symbol_earns_the_memoryless_return() -> None:
    games, episodes, length = 500, 20, 8
    envs = vector(games)
    observations, _ = envs.reset(seed=0)
    total = np.zeros((episodes, games))
    for episode in range(episodes):
        for _ in range(length):
            observations, rewards, *_ = envs.step(observations.argmax(axis=1))
            total[episode] += rewards
        observations, *_ = envs.step(np.zeros(games, np.int64))
    error = total.std() / np.sqrt(total.size)
    assert abs(total.mean() - memoryless_return(4, 8)) < 4 * error


def test_memoryless_return() -> None:
    assert memoryless_return(4, 8) == pytest.approx((1 + 7 / 4) / 8)
    assert memoryless_return(2, 1) == 1.0
    assert gymnasium.make(
        "rmc/RepeatFirst-v0", num_symbols=5, length=3
    ).unwrapped.memoryless_return == memoryless_return(5, 3)


def test_targets_and_distractors_are_uniform_and_independent() -> None:
    envs = vector(4000)
    targets = envs.reset(seed=0)[0].argmax(axis=1)
    later = envs.step(np.zeros(4000, np.int64))[0].argmax(axis=1)
    pairs = np.bincount(4 * targets + later, minlength=16)
    # each of the 16 pairs is expected 250 times, with a standard deviation of 15.3
    assert abs(pairs - 250).max() < 4 * 15.3


def test_observation_is_one_hot() -> None:
    envs = vector(6, num_symbols=5)
    observations, _ = envs.reset(seed=0)
    for _ in range(30):
        assert observations.dtype == np.float32
        assert (np.sort(observations, axis=1) == [0, 0, 0, 0, 1]).all()
        observations, *_ = envs.step(np.zeros(6, np.int64))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_symbols": 1}, r"num_symbols must be in 2 \.\. 64, got 1"), ({"length": 0}, "length must be in 1")],
)
def test_wrong_options(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        vector(2, **options)


@pytest.mark.parametrize("field", ["target", "shown"])
def test_symbols_that_do_not_exist_are_refused(field: str) -> None:
    envs = vector(2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=field):
        envs.set_state(envs.get_state() | {field: np.array([0, 4], np.int32)})


@pytest.mark.parametrize("frame", [-1, 9, 2**31 - 1])
def test_frames_outside_the_episode_are_refused(frame: int) -> None:
    envs = vector(2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="frame"):
        envs.set_state(envs.get_state() | {"frame": np.array([8, frame], np.int32)})


def test_frame_shows_the_symbol_the_target_and_the_time() -> None:
    env: Any = gymnasium.make("rmc/RepeatFirst-v0", render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    frames = {}
    for name, value in [("base", {}), ("target", {"target": 1}), ("shown", {"shown": 1}), ("frame", {"frame": 4})]:
        values = {"target": 0, "shown": 0, "frame": 0} | value
        env.set_state(env.get_state() | {field: np.array([number], np.int32) for field, number in values.items()})
        frames[name] = env.render().tobytes()
    assert env.render().shape == (80, 192, 3)
    assert len(set(frames.values())) == 4
