"""Twenty kills at random moments of one run: it must go on, count them, and lose no more than it says.

    python -m tests.integration.random_kills [--seconds 600] [--kills 20] [--seed 0]

Trains with engine=ray and two actors, checkpoints every few seconds, and kills (SIGKILL) an actor or the learner, drawn
by chance, at moments drawn by chance. Checked at the end: the run stops and saves when asked to, the steps of
metrics.csv rise, every death of the learner was said, with the updates it cost, and no process or file is left. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from tests.leftovers import nothing_is_left

CHECKPOINT_SECONDS = 5.0
WORDS = (
    *("actor.num_actors=2", "core.head_size=16", "log.display=plain", "log.every_steps=2000"),
    *(f"checkpoint.every_seconds={CHECKPOINT_SECONDS}", "total_steps=1000000000"),
)


def kill_one(processes: list[psutil.Process], rng: random.Random) -> str | None:
    """Kill an actor or the learner of these; its name, or None where there is none just now."""
    names = ("ray::ActorProc", "ray::Learner")
    found = [process for process in processes if process.is_running() and process.name().startswith(names)]
    if not found:
        return None
    victim = rng.choice(sorted(found, key=lambda process: process.pid))
    name = victim.name().split(".")[0].removeprefix("ray::")
    victim.kill()
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    moments = sorted(rng.uniform(0.05, 0.9) * options.seconds for _ in range(options.kills))
    killed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, nothing_is_left(patience=60.0) as watch:
        output = Path(folder) / "output"
        command = [sys.executable, "-m", "rmc_rl.train", f"runs_dir={folder}/runs", *WORDS]
        with output.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as run:
            started = time.monotonic()
            for moment in moments:
                time.sleep(max(0.0, started + moment - time.monotonic()))
                name = None
                while name is None and run.poll() is None:  # one that was killed just before is not back yet
                    name = kill_one(watch.processes(), rng)
                    time.sleep(0.5)
                killed.append(name or "nothing: the run had ended")
                print(f"{time.monotonic() - started:6.1f} s: killed {killed[-1]}", flush=True)
            time.sleep(max(0.0, started + options.seconds - time.monotonic()))
            run.send_signal(signal.SIGINT)
            status = run.wait(120)
        text = output.read_text()
        (metrics,) = Path(folder).glob("runs/*/metrics.csv")
        with metrics.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    lost = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) updates lost", text)]
    steps = [int(row["steps"]) for row in rows]
    updates = [int(row["updates"]) for row in rows]
    result: dict[str, Any] = {
        "killed": {name: killed.count(name) for name in sorted(set(killed))},
        "exit_status": status,
        "restarts_counted": int(rows[-1]["restarts"]),
        "learner_deaths_said": len(lost),
        "updates_lost": lost,
        "updates": updates[-1],
        "steps": steps[-1],
        "dropped_rollouts": int(rows[-1]["dropped_rollouts"]),
        "steps_rise": all(a < b for a, b in pairwise(steps)),
        "memory_mb": [float(row["memory_mb"]) for row in rows[:: max(1, len(rows) // 10)]],
    }
    print(text[-1500:])
    print(json.dumps(result))
    if status != 0 or not result["steps_rise"] or len(lost) != killed.count("LearnerProcess"):
        raise SystemExit("the run did not survive as it must")


if __name__ == "__main__":
    main()
