"""How many steps a second the games make on one core, and how much the native batch gains.

    python -m benchmarks.env_speed [--env rmc/MiniPacmanViewport-v0] [--num-envs 256] [--seconds 2]

Three figures from one run with uniformly random actions drawn beforehand: the native vector environment, Gymnasium's
``SyncVectorEnv`` of the same number of scalar games, and one scalar game without wrappers. Each is the best of several
rounds, taken in turns so that a busy machine slows all alike. Steps that only reset a game are not counted. The last
line is one JSON object.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import rmc_envs

ROUNDS = 5
ACTION_ROWS = 1000
"""Rows of actions drawn beforehand; a measurement walks through them again and again."""


def vector_speed(envs: Any, seconds: float) -> float:
    """Steps a second of a vector environment, over all its games."""
    actions = np.random.default_rng(0).integers(envs.single_action_space.n, size=(ACTION_ROWS, envs.num_envs))
    envs.reset(seed=0)
    ended = np.zeros(envs.num_envs, np.bool_)
    calls = resets = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        _, _, terminated, truncated, _ = envs.step(actions[calls % ACTION_ROWS])
        calls += 1
        resets += int(np.count_nonzero(ended))
        ended = terminated | truncated
    return (calls * envs.num_envs - resets) / elapsed


def scalar_speed(env: Any, seconds: float) -> float:
    """Steps a second of one scalar environment; the time of its resets counts, they are no steps."""
    actions = np.random.default_rng(0).integers(env.action_space.n, size=ACTION_ROWS).tolist()
    env.reset(seed=0)
    steps = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += ACTION_ROWS
    return steps / elapsed


def measure(env_id: str, num_envs: int, seconds: float) -> dict[str, Any]:
    """The three speeds of one environment id and the ratio of the first two."""
    native = gymnasium.make_vec(env_id, num_envs=num_envs)
    sync = gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode="sync")
    scalar = gymnasium.make(env_id).unwrapped
    meters: dict[str, Callable[[], float]] = {
        "native_vector": lambda: vector_speed(native, seconds / ROUNDS),
        "sync_vector": lambda: vector_speed(sync, seconds / ROUNDS),
        "scalar": lambda: scalar_speed(scalar, seconds / ROUNDS),
    }
    for meter in meters.values():
        meter()  # compiles, warms caches
    speeds = dict.fromkeys(meters, 0.0)
    for _ in range(ROUNDS):
        for name, meter in meters.items():
            speeds[name] = max(speeds[name], meter())
    return {
        "env": env_id,
        "num_envs": num_envs,
        "native_vector_steps_per_second": round(speeds["native_vector"]),
        "sync_vector_steps_per_second": round(speeds["sync_vector"]),
        "scalar_steps_per_second": round(speeds["scalar"]),
        "native_over_sync": round(speeds["native_vector"] / speeds["sync_vector"], 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
        "machine": platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps a second of the games on one core.")
    parser.add_argument("--env", default="rmc/MiniPacmanViewport-v0", choices=list(rmc_envs.ENVIRONMENTS))
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each of the three figures")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.env, arguments.num_envs, arguments.seconds)))


if __name__ == "__main__":
    main()
