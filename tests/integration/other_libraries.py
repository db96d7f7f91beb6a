"""The games in libraries too heavy for every test run: a script, run by hand, that says what it saw.

    python tests/integration/other_libraries.py

Makes a virtual environment of its own in a temporary folder, installs there the games (without torch, ray or pygame of
ours) beside MiniGrid, then Stable-Baselines3 with sb3-contrib, and tries each id. Needs the network. Prints one line a
check and exits with 1 if any failed; ``README.md`` beside this file keeps the last output.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

ENVS = Path(__file__).resolve().parents[2] / "envs"
STEPS = 4096


def alone() -> None:
    """What ``pip install ./envs`` brings: the games, and none of the large packages."""
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    heavy = installed & {"torch", "ray", "pygame", "pygame-ce"}
    assert not heavy, heavy
    import gymnasium

    import rmc_envs

    for env_id in rmc_envs.ENVIRONMENTS:
        env = gymnasium.make(env_id, render_mode="rgb_array")
        env.reset(seed=0)
        assert env.render().ndim == 3


def beside_minigrid() -> None:
    """Both register, both play; MiniGrid brings pygame-ce, whose windows ours can use."""
    import gymnasium
    import minigrid

    import rmc_envs

    os.environ["SDL_VIDEODRIVER"] = "dummy"
    assert minigrid.__version__
    for env_id in ["MiniGrid-Empty-5x5-v0", *rmc_envs.ENVIRONMENTS]:
        env = gymnasium.make(env_id, render_mode="human")
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()


def sb3_checker() -> None:
    """Stable-Baselines3's own checker finds nothing but that its image policy wants larger images."""
    import gymnasium
    from stable_baselines3.common.env_checker import check_env

    import rmc_envs

    for env_id in rmc_envs.ENVIRONMENTS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="The minimal resolution for an image is 36x36")
            check_env(gymnasium.make(env_id).unwrapped)


def sb3_ppo() -> None:
    """PPO trains on every id."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    import rmc_envs

    for env_id in rmc_envs.ENVIRONMENTS:
        model = PPO("MlpPolicy", make_vec_env(env_id, n_envs=4, seed=0), n_steps=128, seed=0, device="cpu")
        model.learn(STEPS)
        assert model.num_timesteps >= STEPS


def sb3_recurrent_ppo() -> None:
    """RecurrentPPO trains, and on Repeat First learns what needs a memory: more than any policy without one gets."""
    import gymnasium
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    for env_id in ("rmc/MiniPacmanViewport-v0", "rmc/BoxWorldViewport-v0"):
        model = RecurrentPPO("MlpLstmPolicy", make_vec_env(env_id, n_envs=4, seed=0), n_steps=128, seed=0, device="cpu")
        model.learn(STEPS)
        assert model.num_timesteps >= STEPS
    games = make_vec_env("rmc/RepeatFirst-v0", n_envs=16, seed=0)
    model = RecurrentPPO("MlpLstmPolicy", games, n_steps=64, batch_size=256, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(60_000)
    mean, _ = evaluate_policy(model, games, n_eval_episodes=200)
    limit = gymnasium.make("rmc/RepeatFirst-v0").unwrapped.memoryless_return
    print(f"    RecurrentPPO on Repeat First: {mean:.2f} after 60,000 steps; without a memory at most {limit:.2f}")
    assert mean > limit + 0.1


STAGES: dict[str, tuple[list[str], list[Callable[[], None]]]] = {
    "the games alone": ([str(ENVS)], [alone]),
    "MiniGrid": (["minigrid"], [beside_minigrid]),
    "Stable-Baselines3": (
        ["torch==2.13.0", "stable-baselines3", "sb3-contrib"],
        [sb3_checker, sb3_ppo, sb3_recurrent_ppo],
    ),
}


def run_stage(name: str) -> bool:
    """All checks of a stage, in this interpreter; a line each."""
    good = True
    for check in STAGES[name][1]:
        try:
            check()
            print(f"  ok      {check.__name__}: {(check.__doc__ or '').splitlines()[0]}", flush=True)
        except Exception:
            good = False
            print(f"  FAILED  {check.__name__}\n{traceback.format_exc()}", flush=True)
    return good


def main() -> int:
    """Build the environment stage by stage and run each stage's checks in it."""
    parser = argparse.ArgumentParser(description="The games in other people's libraries.")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)  # within the virtual environment
    options = parser.parse_args()
    if options.stage:
        return 0 if run_stage(options.stage) else 1
    good = True
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        for name, (packages, _) in STAGES.items():
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, env=variables)
            print(f"{name} ({', '.join(packages[-2:] if name != 'the games alone' else ['./envs'])})", flush=True)
            here = [python, str(Path(__file__).resolve()), "--stage", name]
            good &= subprocess.run(here, check=False, cwd=folder, env=variables).returncode == 0
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True, env=variables
        ).stdout
        wanted = ("gymnasium==", "minigrid==", "pygame", "sb3", "stable", "torch==", "numpy==", "numba==")
        print("versions:", ", ".join(line for line in listed.splitlines() if line.lower().startswith(wanted)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
