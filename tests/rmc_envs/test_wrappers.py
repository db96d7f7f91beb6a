"""The games inside what people put around environments: Gymnasium's wrappers, scalar and vector."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

import rmc_envs

IDS = list(rmc_envs.ENVIRONMENTS)
IMAGES = [env_id for env_id in IDS if "Repeat" not in env_id]


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Not ours: Gymnasium's video wrapper imports moviepy, which warns about its own dependencies.
        warnings.filterwarnings("ignore", module=r"moviepy|imageio|pydub")
        yield


def play(env: Any, steps: int = 200) -> list[dict[str, Any]]:
    """Random steps, scalar; observations must be in the space. Returns the infos of the last steps of episodes."""
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    infos = []
    for _ in range(steps):
        assert env.observation_space.contains(observation)
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        if terminated or truncated:
            infos.append(info)
            observation, _ = env.reset()
    env.close()
    return infos


@pytest.mark.parametrize("env_id", IDS)
def test_frame_stack(env_id: str) -> None:
    env = wrappers.FrameStackObservation(gymnasium.make(env_id), 4)
    play(env)
    assert env.observation_space.shape == (4, *env.unwrapped.observation_space.shape)


@pytest.mark.parametrize("env_id", IDS)
def test_flatten(env_id: str) -> None:
    env = wrappers.FlattenObservation(gymnasium.make(env_id))
    play(env)
    assert env.observation_space.shape == (np.prod(env.unwrapped.observation_space.shape),)


@pytest.mark.parametrize("env_id", ["rmc/MiniPacman-v0", "rmc/MiniPacmanViewport-v0", "rmc/BoxWorld-v0"])
def test_grayscale(env_id: str) -> None:
    env = wrappers.GrayscaleObservation(gymnasium.make(env_id))
    play(env)
    assert env.observation_space.shape == env.unwrapped.observation_space.shape[:2]


@pytest.mark.parametrize("env_id", IDS)
def test_time_limit(env_id: str) -> None:
    env = wrappers.TimeLimit(gymnasium.make(env_id), 5)
    env.reset(seed=0)
    ends = [env.step(0)[3] for _ in range(5)]
    assert ends == [False] * 4 + [True]


@pytest.mark.parametrize("env_id", IDS)
def test_normalise_reward(env_id: str) -> None:
    play(wrappers.NormalizeReward(gymnasium.make(env_id)))


@pytest.mark.parametrize("env_id", IDS)
def test_episode_statistics(env_id: str) -> None:
    infos = play(wrappers.RecordEpisodeStatistics(gymnasium.make(env_id)), 1500)
    assert infos
    assert all(info["episode"]["l"] > 0 for info in infos)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_episode_statistics_equal_gymnasiums_own(env_id: str, mode: str) -> None:
    """The wrapper sees the same episodes in the native batch as in Gymnasium's vector of scalar games."""
    seen: list[list[list[float]]] = []
    native = gymnasium.make_vec(env_id, num_envs=4, autoreset_mode=mode)
    singles = SyncVectorEnv([lambda: gymnasium.make(env_id)] * 4, autoreset_mode=gymnasium.vector.AutoresetMode(mode))
    for envs in (native, singles):
        recorded = vector_wrappers.RecordEpisodeStatistics(envs)
        recorded.action_space.seed(0)
        recorded.reset(seed=0)
        episodes = []
        for _ in range(600):
            *_, info = recorded.step(recorded.action_space.sample())
            if "episode" in info:
                where = info["_episode"]
                episodes += list(zip(info["episode"]["r"][where], info["episode"]["l"][where], strict=True))
        seen.append([[float(score), float(length)] for score, length in episodes])
        recorded.close()
    assert seen[0]
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)


@pytest.mark.parametrize("env_id", IDS)
def test_asynchronous_vector(env_id: str) -> None:
    own = gymnasium.make_vec(env_id, num_envs=2)
    other = AsyncVectorEnv([lambda: gymnasium.make("rmc_envs:" + env_id)] * 2)
    try:
        np.testing.assert_array_equal(own.reset(seed=5)[0], other.reset(seed=5)[0])
        for _ in range(50):
            actions = own.action_space.sample()
            for row, other_row in zip(own.step(actions)[:4], other.step(actions)[:4], strict=True):
                np.testing.assert_array_equal(row, other_row)
    finally:
        other.close()


@pytest.mark.parametrize("env_id", IDS)
def test_record_video(env_id: str, tmp_path: Path) -> None:
    env = wrappers.RecordVideo(
        gymnasium.make(env_id, render_mode="rgb_array"), str(tmp_path / "scalar"), disable_logger=True
    )
    env.reset(seed=0)
    for _ in range(12):
        *_, terminated, truncated, _ = env.step(0)
        if terminated or truncated:
            break
    env.close()
    envs = vector_wrappers.RecordVideo(
        gymnasium.make_vec(env_id, num_envs=3, render_mode="rgb_array"),
        str(tmp_path / "vector"),
        video_length=8,
        disable_logger=True,
    )
    envs.reset(seed=0)
    for _ in range(12):
        envs.step(envs.action_space.sample())
    envs.close()
    for kind in ("scalar", "vector"):
        videos = list((tmp_path / kind).glob("*.mp4"))
        assert videos
        assert all(video.stat().st_size > 1000 for video in videos)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_survives_json(env_id: str) -> None:
    env = gymnasium.make("rmc_envs:" + env_id, render_mode="rgb_array")
    spec = env.spec
    assert spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.unwrapped.render_mode == "rgb_array"
    np.testing.assert_array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
