import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rmc_envs

IDS = list(rmc_envs.ENVIRONMENTS)


def run_python(code: str) -> str:
    """What a fresh interpreter prints; it fails where the code does."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_checker_finds_nothing(env_id: str, headless_window: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(env_id)
        check_env(env.unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_make_with_default_wrappers_runs_without_warnings(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("rmc_envs:" + env_id, render_mode="rgb_array")
        observation, info = env.reset(seed=1)
        assert env.observation_space.contains(observation)
        assert info == {}
        for _ in range(5):
            observation, *_ = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)
        assert env.render().dtype == np.uint8
        env.close()
    assert env.spec.max_episode_steps is None


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", [None, "vector_entry_point", "sync"])
def test_make_vec(env_id: str, mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gymnasium.make_vec(env_id, num_envs=3, vectorization_mode=mode)
        observations, _ = envs.reset(seed=1)
        assert envs.observation_space.contains(observations)
        for _ in range(5):
            observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
            assert envs.observation_space.contains(observations)
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        assert infos == {}
        assert envs.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
        envs.close()
    assert envs.spec.id == env_id


@pytest.mark.parametrize("env_id", IDS)
def test_docstring_has_the_fixed_headings(env_id: str) -> None:
    documentation = gymnasium.make(env_id).unwrapped.__doc__
    headings = [line.strip()[3:] for line in documentation.splitlines() if line.strip().startswith("## ")]
    assert headings == [
        "Description",
        "Action Space",
        "Observation Space",
        "Rewards",
        "Starting State",
        "Episode End",
        "Arguments",
        "Version History",
    ]


def test_import_is_light() -> None:
    code = "import sys, rmc_envs; print([name for name in ('numba', 'pygame', 'torch') if name in sys.modules])"
    assert run_python(code) == "[]"


def test_rgb_array_needs_no_pygame() -> None:
    code = (
        "import sys; sys.modules['pygame'] = None\n"  # importing it now fails
        "import gymnasium, rmc_envs\n"
        "for env_id in rmc_envs.ENVIRONMENTS:\n"
        "    env = gymnasium.make(env_id, render_mode='rgb_array'); env.reset(seed=0)\n"
        "    print(env.render().ndim, end=' ')\n"
    )
    assert run_python(code) == " ".join("3" for _ in IDS)
