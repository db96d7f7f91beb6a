"""Whether a long run's memory stays what it is.

    python -m benchmarks.soak [--minutes 30] [--out soak] [key=value …]

trains (with the default engine and game unless the words say otherwise), looks every few seconds at the memory that
each process of the run does not share with others, ends the run as Ctrl-C would, and leaves ``memory.csv`` and
``memory.png`` in the folder ``--out``. The last line is one JSON object: MB after the warm-up and at the end, and what
a straight line through everything after the warm-up gains in a million steps and in an hour, in all and by process.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from rmc_rl.errors import UserError, reports_user_errors

SECONDS_BETWEEN = 5.0
WARM_UP_SHARE = 0.2
"""Of the time: what is needed once is then there."""
TITLES = {
    "ray::LearnerProcess": "learner",
    "ray::ActorProcess": "actors",
    "raylet": "Ray",
    "gcs_server": "Ray",
    "rmc_rl.train": "driver",
}
"""Whose process it is, by what stands in its command line; everything else there is Ray's too."""


def sample(training: psutil.Process) -> dict[str, float]:
    """MB that the processes of a run do not share, by their kind."""
    found: dict[str, float] = {}
    for process in [training, *training.children(recursive=True)]:
        try:
            name, memory = " ".join(process.cmdline()), process.memory_info()
        except psutil.Error:  # it has ended meanwhile
            continue
        title = next((title for part, title in TITLES.items() if part in name), "Ray")
        found[title] = found.get(title, 0.0) + (memory.rss - getattr(memory, "shared", 0)) / 2**20
    return found


def steps_done(runs: Path) -> int:
    """Steps of the only run in a folder, as far as it has logged them."""
    lines = [line for path in runs.glob("*/metrics.csv") for line in path.read_text().splitlines()[1:]]
    return int(lines[-1].partition(",")[0]) if lines else 0


def watch(words: list[str], minutes: float, rows: list[dict[str, float]]) -> None:
    """Train for so long; adds a row for each look.

    Raises:
        UserError: the training ended early, or not well.
    """
    with tempfile.TemporaryDirectory(prefix="rmc-rl-soak-") as runs:
        # Without videos: the process that makes them would be counted.
        quiet = ("log.display=none", "log.video_every_steps=null")
        command = [sys.executable, "-m", "rmc_rl.train", f"runs_dir={runs}", "total_steps=1e12", *quiet]
        started = time.monotonic()
        training = subprocess.Popen([*command, *words])
        try:
            while time.monotonic() - started < 60 * minutes:
                time.sleep(SECONDS_BETWEEN)
                if training.poll() is not None:
                    raise UserError(f"the training ended by itself, with exit status {training.returncode}")
                steps = steps_done(Path(runs))
                if steps == 0:
                    continue
                rows.append(
                    {"seconds": time.monotonic() - started, "steps": steps, **sample(psutil.Process(training.pid))}
                )
                print(f"\r{rows[-1]['seconds']:,.0f} s, {steps:,} steps, {total(rows[-1]):,.1f} MB", end="", flush=True)
        finally:
            print()
            if training.poll() is None:
                training.send_signal(signal.SIGINT)
            status = training.wait()
    if status != 0:
        raise UserError(f"the training was stopped and ended with exit status {status}")


def total(row: dict[str, float]) -> float:
    """MB of all processes."""
    return sum(value for name, value in row.items() if name not in ("seconds", "steps"))


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """What the last line of the output holds."""
    after = [row for row in rows if row["seconds"] >= WARM_UP_SHARE * rows[-1]["seconds"]]
    kinds = sorted({name for row in after for name in row} - {"seconds", "steps"})
    steps, hours = (np.array([row[name] for row in after]) / unit for name, unit in (("steps", 1e6), ("seconds", 3600)))

    def gain(values: list[float]) -> dict[str, float]:
        return {
            "mb_per_million_steps": round(float(np.polyfit(steps, values, 1)[0]), 3),
            "mb_per_hour": round(float(np.polyfit(hours, values, 1)[0]), 2),
        }

    return {
        "minutes": round(rows[-1]["seconds"] / 60, 1),
        "steps": rows[-1]["steps"],
        "mb_after_warm_up": round(total(after[0]), 1),
        "mb_at_the_end": round(total(rows[-1]), 1),
        "all": gain([total(row) for row in after]),
        **{kind: gain([row.get(kind, 0.0) for row in after]) for kind in kinds},
    }


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Memory over time, all processes and each kind, and the steps learnt meanwhile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [row["seconds"] / 60 for row in rows]
    kinds = sorted(
        {name for row in rows for name in row} - {"seconds", "steps"}, key=lambda kind: -rows[-1].get(kind, 0)
    )
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(minutes, [total(row) for row in rows], color="black", label="all processes")
    for kind in kinds:
        axes.plot(minutes, [row.get(kind, 0.0) for row in rows], label=kind)
    axes.set(xlabel="minutes", ylabel="memory not shared with others, MB", ylim=(0, None), xlim=(0, None))
    axes.set_title(f"{rows[-1]['steps'] / 1e6:.1f} million steps learnt", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to train")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="folder for memory.csv and memory.png")
    parser.add_argument("words", nargs="*", metavar="key=value", help="configuration, as for rmc_rl.train")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, float]] = []
    try:
        watch(options.words, options.minutes, rows)
        if len(rows) < 3:
            raise UserError(f"{options.minutes:g} minutes are too few: nothing was learnt in them")
    finally:
        if len(rows) >= 3:  # however it ended
            report(rows, options.out)


def report(rows: list[dict[str, float]], folder: Path) -> None:
    """Write table and picture, print the summary."""
    names = ["seconds", "steps", *sorted({name for row in rows for name in row} - {"seconds", "steps"})]
    with (folder / "memory.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval=0.0)
        writer.writeheader()
        writer.writerows({name: round(value, 1) for name, value in row.items()} for row in rows)
    draw(rows, folder / "memory.png")
    print(json.dumps(summary(rows)))


if __name__ == "__main__":
    main()
