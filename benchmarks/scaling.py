"""How the actor-learner scales: trained steps a second by games, actors, length of unroll and size of the memory.

    python -m benchmarks.scaling [--seconds 6] [--rounds 3] [--axes games,actors,unroll,slots] [--file scaling.json]
                                 [key=value …]

Along each axis one key changes and the others stay as configured; words of the form key=value change the configuration
of every point. All points of an axis take turns, so that a machine whose speed drifts favours none, and medians count.
The file has every point with the versions it was measured with; ``results/scaling/<machine>.json`` is where the
documentation's benchmark page takes its tables from. All axes on two cores are 18 points, each measured three times for
6 seconds beside some 10 to start: a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput import end_to_end, in_turns
from rmc_rl.building import available_cores
from rmc_rl.config import make_config
from rmc_rl.environment import make_vector
from rmc_rl.errors import reports_user_errors
from rmc_rl.run_folder import versions
from rmc_rl.spaces import interface


def points(cores: int) -> dict[str, dict[str, Sequence[int]]]:
    """Of each axis the key that changes, and its values on a machine of so many cores."""
    actors = [1]
    while actors[-1] < cores:
        actors.append(min(2 * actors[-1], cores))
    return {
        "games": {"actor.num_envs": (16, 32, 64, 128, 256, 512)},
        "actors": {"actor.num_actors": actors},
        "unroll": {"actor.unroll_length": (5, 10, 20, 40, 80)},
        "slots": {"core.mem_slots": (1, 2, 4, 8, 16)},
    }


def measure(key: str, values: Sequence[int], words: Sequence[str], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Each value's medians, in the order of the values."""
    env = make_vector(make_config(*words).env, 1)
    found = interface(env)
    env.close()

    def at(value: int) -> Callable[[], dict[str, Any]]:
        config = make_config(*words, f"{key}={value}")
        return lambda: end_to_end(config, found, seconds)

    measured = in_turns({str(value): at(value) for value in values}, rounds)
    return [{"value": value, **measured[str(value)]} for value in values]


@reports_user_errors
def main() -> None:
    known = points(available_cores())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often each point is measured, in turns")
    parser.add_argument("--axes", default=",".join(known), help=f"which: {', '.join(known)}")
    parser.add_argument("--file", type=Path, default=Path("scaling.json"), help="what to write")
    parser.add_argument("words", nargs="*", metavar="key=value", help="configuration, as for rmc_rl.train")
    options = parser.parse_args()
    axes = options.axes.split(",")
    for axis in axes:
        if axis not in known:
            parser.error(f"--axes: {axis} is not known: {', '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds: 1 or more needed")
    result: dict[str, Any] = {
        "versions": versions() | {"command": shlex.join(["python", "-m", "benchmarks.scaling", *sys.argv[1:]])},
        "axes": {},
    }
    for axis in axes:
        ((key, values),) = known[axis].items()
        print(f"{axis} ({key}):", flush=True)
        result["axes"][axis] = {
            "key": key,
            "points": measure(key, values, options.words, options.seconds, options.rounds),
        }
        options.file.write_text(json.dumps(result, indent=1) + "\n")  # what was measured is kept, whatever comes


if __name__ == "__main__":
    main()
