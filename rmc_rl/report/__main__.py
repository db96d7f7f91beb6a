"""``python -m rmc_rl.report runs=[a,b]``: one HTML page about one or several runs.

Learning curves with bands over seeds, a table of scores, throughput, settings and what differs in them, a recorded
episode, hardware and commit. The page needs no other file and no network. ``group=latest`` reports the newest sweep.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rmc_rl.curves.axes import X_NAMES
from rmc_rl.curves.runs import Run, find_runs, read_run
from rmc_rl.errors import reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.output import check_name, unfinished
from rmc_rl.pretrained import pretrained_folder, refuse_both
from rmc_rl.report.episode import film
from rmc_rl.report.page import render

SUFFIXES = (".html", ".htm")


@dataclass
class ReportOptions:
    """Options of the verb."""

    runs: list[str] | None = option(
        None, "run folders, names in runs_dir, patterns (runs/*-rmc-*), or latest; null: latest"
    )
    pretrained: str | None = option(None, "in their place an agent that comes with the package, by its name")
    group: str | None = option(None, "report the runs of this group instead, a sweep's; latest: the newest")
    metric: str | None = option(
        None, "the column of metrics.csv that is the score; null: return_mean, of supervised runs test_accuracy"
    )
    x: str = option("steps", "along what curves are drawn", choices=tuple(X_NAMES))
    file: str = option("report.html", "what to write")
    episode: bool = option(True, "record an episode of each environment's best run")
    episode_steps: int = option(200, "cut the episode short after so many steps", minimum=1)
    trust: bool = option(False, "allow a run to name modules that will be imported for its episode: their code is run")
    runs_dir: str = option("runs", "where run folders are")


def best_runs(runs: Sequence[Run], metric: str | None) -> list[Run]:
    """The run of each environment whose last score is the highest; of supervised runs none, as nothing is played."""
    scored = [(run.last(metric or run.kind.score), run) for run in runs if run.kind.plays]
    found = sorted((pair for pair in scored if math.isfinite(pair[0])), key=lambda pair: pair[0])
    return list({run.environment: run for _, run in found}.values())


@reports_user_errors
def main() -> None:
    """Write the page, and say where it is."""
    options = parse_options(ReportOptions, sys.argv[1:], __doc__ or "")
    path = Path(options.file)
    check_name("file", path, SUFFIXES)
    if options.pretrained is not None:
        refuse_both(options.pretrained, runs=options.runs, group=options.group)
        words = [str(pretrained_folder(options.pretrained))]
    else:
        words = options.runs or ["latest"]
    runs = [read_run(folder) for folder in find_runs(words, options.group, options.runs_dir)]
    for run in runs:
        for name in (options.x, options.metric or run.kind.score):
            run.column(name)
    episodes = []
    console = Console(stderr=True)
    for run in best_runs(runs, options.metric) if options.episode else []:
        with console.status(f"recording an episode of {run.name} …"):
            episodes.append(film(run.path, max_steps=options.episode_steps, trust=options.trust))
        if not episodes[-1].video:
            print(episodes[-1].words, file=sys.stderr)
    page = render(runs, metric=options.metric, x=options.x, episodes=episodes)
    with unfinished(path) as part:
        part.write_text(page, encoding="utf-8", errors="replace")  # an escape in YAML or JSON can spell half a letter
    size = path.stat().st_size
    many = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    print(f"{path}: {many}, {f'{size / 1e6:.1f} MB' if size >= 1e6 else f'{size / 1e3:.0f} kB'}")


if __name__ == "__main__":
    main()
