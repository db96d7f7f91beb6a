"""``python -m rmc_rl.analyse run=latest``: what a trained supervised model can do, and how.

Of Nth Farthest: right answers by what is asked for and by when the reference is shown, beside what can be had without
relating vectors, and pictures of attention as in the paper's Figure 3. Of programs and numbers: right characters and
whole answers at every length and nesting, with examples. Tables go to the terminal; pictures and ``analysis.json``,
which holds all numbers, to ``<run>/analysis``.

``python -m rmc_rl.analyse task=nth-farthest task.num_vectors=8 task.dimensions=16`` needs no run: it tells what can be
had there without relating vectors. docs/analysis.md explains the numbers.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

from rmc_rl.analysis import Analysis, Example, Table, analysis_of
from rmc_rl.analysis.nth_farthest import baselines
from rmc_rl.building import available_cores, prepare_process, refusals
from rmc_rl.config import check_seed
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.output import unfinished
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.tasks import make_task
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import load

SEQUENCES, SAMPLES, MOST_SEQUENCES = 12_800, 100_000, 10_000_000
"""The paper's number for a model, the one for a baseline, and the limit of both."""

MOVABLE = ("task.data=", "task.cache=")
"""What may be said of a run's task: where its texts are now."""

PLAIN_WIDTH = 140
"""Columns of what is not a terminal."""


@dataclass
class AnalyseOptions:
    """Options of the verb."""

    run: str = option("latest", "a run folder of rmc_rl.supervised, or 'latest'")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in the run's checkpoints")
    sequences: int | None = option(
        None,
        "new questions; null: 12800, for each number of vectors, or each length and nesting; with task= 100000",
        minimum=1,
    )
    seed: int = option(0, "of the questions", minimum=0)
    out: str | None = option(None, "the folder to write to; null: analysis in the run folder")
    trust: bool = option(False, "allow the run to name modules that will be imported: their code is run")
    runs_dir: str = option("runs", "where run folders are")


def write(analysis: Analysis, folder: Path, about: dict[str, Any]) -> list[Path]:
    """Write pictures and, last, ``analysis.json``; each appears under its name when it is complete.

    Args:
        analysis: what was found.
        folder: where to; made where it is missing.
        about: what was analysed, which the file begins with.

    Returns:
        The files.

    Raises:
        UserError: the folder cannot be written.
    """
    paths = []
    for name, figure in analysis.pictures.items():
        from rmc_rl.plot import save

        save(figure, folder / name)
        paths.append(folder / name)
    record = {
        **about,
        **analysis.numbers,
        "examples": [asdict(example) for example in analysis.examples],
        "notes": analysis.notes,
        "pictures": list(analysis.pictures),
    }
    paths.append(folder / "analysis.json")
    with unfinished(paths[-1]) as part:
        text = json.dumps(_finite(record), indent=1, allow_nan=False, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
    return paths


def report(analysis: Analysis, console: Console) -> None:
    """Print tables, examples and notes."""
    tables = [*analysis.tables, *([_example_table(analysis.examples)] if analysis.examples else [])]
    for table in tables:
        console.print(Text(table.title, style="bold"))
        console.print(_drawn(table))
        console.print(Text(table.note + "\n" if table.note else "", style="dim"), soft_wrap=True)
    for note in analysis.notes:
        console.print(Text(note), soft_wrap=True)


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON has no words for."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
    for place, column in enumerate(table.columns):
        drawn.add_column(Text(column), justify="left" if place < table.left else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return drawn


def _example_table(examples: Sequence[Example]) -> Table:
    with_where, with_more = (any(getattr(example, name) for example in examples) for name in ("where", "more"))
    columns = [*(["level"] if with_where else []), "question", *([""] if with_more else [])]
    left = len(columns)
    rows = [
        (
            *([example.where] if with_where else []),
            example.question,
            *([example.more] if with_more else []),
            example.target,
            example.answer,
            "right" if example.right else "wrong",
        )
        for example in examples
    ]
    return Table("Examples", (*columns, "right answer", "the model's", ""), rows, left=left)


def _baselines(words: Sequence[str], options: AnalyseOptions) -> tuple[Analysis, dict[str, Any]]:
    """What needs no model, and what the file about it begins with."""
    config = SUPERVISED.make(*words)
    if config.task["name"] != "nth_farthest":
        raise UserError(f"{words[0]}: what can be had without a model is known of task=nth-farthest alone")
    with refusals("the task cannot be made"):
        task = make_task(**{str(key): value for key, value in config.task.items()})
    assert isinstance(task, NthFarthest)
    samples = options.sequences or SAMPLES
    about = {"num_vectors": task.num_vectors, "dimensions": task.dimensions, "sequences": samples, "seed": options.seed}
    return baselines(task, samples, options.seed), about


def _analysis(options: AnalyseOptions, texts: Sequence[str]) -> tuple[Analysis, dict[str, Any], Path]:
    """Of a run, of which words may say where its texts are now: what was found, what the file about it begins with, and
    the folder for both."""
    given = (word.removeprefix("task.").partition("=") for word in texts)
    moved = {key: None if value == "null" else value for key, _, value in given}
    trained = load(options.run, options.checkpoint, options.runs_dir, replaced=moved, trust=options.trust)
    folder = trained.run / "analysis" if options.out is None else Path(options.out)
    _check_writable(folder)
    sequences = options.sequences or SEQUENCES
    console = Console(stderr=True)
    words = f"{trained.run}, {' · '.join(trained.config.title)}, after {trained.steps:,} updates"
    console.print(Text(words), soft_wrap=True)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("asking", total=None)
        analysis = analysis_of(trained.task)(
            trained, sequences, options.seed, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    about = {
        "run": str(trained.run),
        "checkpoint": options.checkpoint,
        "steps": trained.steps,
        "task": trained.config.task,
        "core": trained.config.core,
        "sequences": sequences,
        "seed": options.seed,
    }
    return analysis, about, folder


def _check_writable(folder: Path) -> None:
    """Make the folder, or say that it cannot be written, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # the latter of a zero byte
        raise UserError(f"out={folder} cannot be written: {getattr(error, 'strerror', None) or error}") from error


@reports_user_errors
def main() -> None:
    """Analyse, print what was found, and write it."""
    typed = sys.argv[1:]
    task_words = [word for word in typed if word.startswith(("task=", "task."))]
    options = parse_options(AnalyseOptions, [word for word in typed if word not in task_words], __doc__ or "")
    check_seed(options.seed)
    if options.sequences is not None and options.sequences > MOST_SEQUENCES:
        raise UserError(f"sequences={options.sequences} is too large: at most {MOST_SEQUENCES}")
    of_run = any(word.startswith("run=") for word in typed)
    for word in task_words if of_run else []:
        if not word.startswith(MOVABLE):
            raise UserError(f"run={options.run} and {word}: a run has its own task, name one of both")
    prepare_process(available_cores())
    folder: Path | None
    if task_words and not of_run:
        folder = None if options.out is None else Path(options.out)
        if folder is not None:
            _check_writable(folder)
        analysis, about = _baselines(task_words, options)
    else:
        analysis, about, folder = _analysis(options, task_words)
    report(analysis, Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False))
    if folder is not None:
        names = ", ".join(path.name for path in write(analysis, folder, about))
        print(f"written to {folder}: {names}")


if __name__ == "__main__":
    main()
