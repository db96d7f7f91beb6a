"""How many steps a second the games make on one core, and how much the native batch gains.

    python -m benchmarks.env_speed [--env rmc/MiniPacmanViewport-v0 | --env all] [--num-envs 256] [--seconds 2]

From one run with uniformly random actions drawn beforehand: the native vector environment (on one thread, and on as
many as there are cores), Gymnasium's ``SyncVectorEnv`` of the same number of scalar games, its ``AsyncVectorEnv`` of a
few (each is a process of its own), and one scalar game without wrappers. Each is the best of several rounds, taken in
turns so that a busy machine slows all alike. Steps that only reset a game are not counted. Start-up is a fresh
process from nothing to the first step, its kernels compiled before. The last line is one JSON object; with ``--env
all`` one line for each game comes before it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import rmc_envs

ROUNDS = 5
ASYNC_GAMES = 8
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
    """The speeds of one environment id, and the native batch's over Gymnasium's own."""
    native = gymnasium.make_vec(env_id, num_envs=num_envs)
    threaded = gymnasium.make_vec(env_id, num_envs=num_envs, num_threads=os.cpu_count() or 1)
    sync = gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode="sync")
    processes = gymnasium.make_vec(env_id, num_envs=ASYNC_GAMES, vectorization_mode="async")
    scalar = gymnasium.make(env_id).unwrapped
    meters: dict[str, Callable[[], float]] = {
        "native_vector": lambda: vector_speed(native, seconds / ROUNDS),
        "native_vector_all_cores": lambda: vector_speed(threaded, seconds / ROUNDS),
        "sync_vector": lambda: vector_speed(sync, seconds / ROUNDS),
        "async_vector": lambda: vector_speed(processes, seconds / ROUNDS),
        "scalar": lambda: scalar_speed(scalar, seconds / ROUNDS),
    }
    for meter in meters.values():
        meter()  # compiles, warms caches
    speeds = dict.fromkeys(meters, 0.0)
    for _ in range(ROUNDS):
        for name, meter in meters.items():
            speeds[name] = max(speeds[name], meter())
    processes.close()
    return {
        "env": env_id,
        "num_envs": num_envs,
        **{f"{name}_steps_per_second": round(speed) for name, speed in speeds.items()},
        "native_over_sync": round(speeds["native_vector"] / speeds["sync_vector"], 1),
        "native_over_async": round(speeds["native_vector"] / speeds["async_vector"], 1),
        "async_games": ASYNC_GAMES,
        "import_seconds": best_time("import rmc_envs"),
        "start_up_seconds": best_time(
            f"import gymnasium, rmc_envs; envs = gymnasium.make_vec({env_id!r}, num_envs={num_envs}); "
            "envs.reset(seed=0); envs.step(envs.action_space.sample())"
        ),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
        "machine": platform.machine(),
    }


def best_time(code: str) -> float:
    """Seconds a fresh interpreter takes for ``code``, its own start and end included: the best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return round(min(times), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps a second of the games on one core.")
    parser.add_argument("--env", default="rmc/MiniPacmanViewport-v0", choices=[*rmc_envs.ENVIRONMENTS, "all"])
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each of the figures")
    arguments = parser.parse_args()
    if arguments.env == "all":
        results = [measure(env_id, arguments.num_envs, arguments.seconds) for env_id in rmc_envs.ENVIRONMENTS]
        for result in results:
            print(json.dumps(result))
        print(json.dumps({"results": {result["env"]: result for result in results}}))
    else:
        print(json.dumps(measure(arguments.env, arguments.num_envs, arguments.seconds)))


if __name__ == "__main__":
    main()
