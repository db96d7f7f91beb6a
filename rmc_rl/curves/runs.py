"""Finds run folders and reads what can be drawn of them: the configuration, the lines of metrics, what ran them."""

from __future__ import annotations

import csv
import glob
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from rmc_rl.curves.kinds import Kind, kind_of
from rmc_rl.errors import UserError, nearest
from rmc_rl.schema import read_plain

CONFIG, METRICS, VERSIONS, EVALUATION = "config.yaml", "metrics.csv", "versions.json", "evaluation.json"

LARGEST_FILE = 256 * 2**20
"""In bytes; of text that a run folder holds."""

LARGEST_NUMBER = 1e100
"""What a run that diverged writes beyond it is no longer drawn."""


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        path: the folder.
        settings: the configuration, flat: ``learner.learning_rate`` to its value; lists are values.
        columns: of ``metrics.csv``: name to numbers, one a line, NaN where the line is silent. Steps increase.
        versions: ``versions.json``, empty where there is none.
        evaluation: ``evaluation.json``, empty where there is none.
    """

    path: Path
    settings: dict[str, Any]
    columns: dict[str, np.ndarray]
    versions: dict[str, Any]
    evaluation: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def steps(self) -> int:
        """Steps at the last line."""
        return int(self.columns["steps"][-1])

    @property
    def environment(self) -> str:
        """What is played or answered, in a word."""
        return str(next(filter(None, map(self.settings.get, ("env.name", "env.id", "task.name"))), "unknown"))

    @property
    def kind(self) -> Kind:
        """Whether an agent played or a model answered."""
        return kind_of(self.settings)

    def curve(self, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
        """Column `y` against column `x` where both are numbers that can be drawn; x increases from 0 or above.

        Raises:
            UserError: there is no such column.
        """
        columns = [self.column(x), self.column(y)]
        known = (np.abs(columns) < LARGEST_NUMBER).all(0) & (columns[0] >= 0)
        along, values = (column[known] for column in columns)
        order = np.argsort(along, kind="stable")
        along, values = along[order], values[order]
        last = np.append(np.diff(along) > 0, True)[: len(along)]  # of lines between which no episode ended, for one
        return along[last], values[last]

    def column(self, name: str) -> np.ndarray:
        """A column of the metrics.

        Raises:
            UserError: there is no such column.
        """
        if name not in self.columns:
            raise UserError(f"{self.path / METRICS} has no column {name!r}: {nearest(name, self.columns)}")
        return self.columns[name]

    def last(self, name: str) -> float:
        """The last number of a column; NaN where there is none."""
        numbers = self.columns.get(name, np.empty(0))
        numbers = numbers[np.isfinite(numbers)]
        return float(numbers[-1]) if len(numbers) else math.nan


def find_runs(words: Sequence[str], group: str | None, runs_dir: str) -> list[Path]:
    """Run folders that hold lines of metrics.

    Args:
        words: each a path, the name of a folder in `runs_dir`, a pattern of either (``*``, ``?``), or ``latest``: the
            folder whose metrics were written last. Of a pattern's matches those count that are run folders.
        group: the runs of this group instead, or of the one written last: ``latest``.
        runs_dir: where run folders are.

    Raises:
        UserError: a word names no run, or one without metrics; a group that no run has.
    """
    base = Path(runs_dir)
    if group is not None:
        return _group(group, base)
    found = [path for word in words for path in _named(word, base)]
    return list({path.resolve(): path for path in found}.values())


def read_run(path: Path) -> Run:
    """Read a run folder; a line of metrics that is still being written is left out.

    Raises:
        UserError: a file is missing, damaged, or lies outside the folder.
    """
    if not (path / CONFIG).is_file():
        raise UserError(f"the folder {path} is not a run folder of rmc-rl: it holds no {CONFIG}")
    _require_inside(path, CONFIG)
    settings = OmegaConf.to_container(read_plain(path / CONFIG))
    assert isinstance(settings, dict)
    return Run(path, _flat(_bounded(settings)), _columns(path), _record(path, VERSIONS), _record(path, EVALUATION))


def _named(word: str, base: Path) -> list[Path]:
    if word == "latest":
        return [_latest(base)]
    try:
        for path in (Path(word), base / word):
            if path.exists():
                return [_require_metrics(path)]
        matches = [Path(path) for pattern in (word, str(base / word)) for path in sorted(glob.glob(pattern))]
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        raise UserError(
            f"{word[:100]!r} cannot name a run folder: {getattr(error, 'strerror', None) or error}"
        ) from error
    runs = [path for path in matches if _has_metrics(path)]
    if not runs:
        what = "matches no run folder with metrics" if glob.has_magic(word) else "does not exist"
        raise UserError(
            f"the run {word} {what} (runs=latest takes the newest in {base.resolve()}, runs='{base}/*' all of them)"
        )
    return runs


def _group(group: str, base: Path) -> list[Path]:
    runs = sorted(path.parent for path in base.glob(f"*/{METRICS}") if _has_metrics(path.parent))
    groups = {path: name for path in runs if (name := _group_of(path)) is not None}
    if group == "latest" and groups:
        group = groups[max(groups, key=_written)]
    found = [path for path, name in groups.items() if name == group]
    if not found:
        known = nearest(group, groups.values()) if groups else "none of its runs belongs to a group"
        raise UserError(f"no run in {base.resolve()} has group={group}: {known}")
    return found


def _group_of(path: Path) -> str | None:
    try:
        _require_inside(path, CONFIG)
        name = read_plain(path / CONFIG).get("group")
    except UserError:
        return None  # a damaged run is reported where it is asked for
    return None if name is None else str(name)


def _latest(base: Path) -> Path:
    runs = [path.parent for path in base.glob(f"*/{METRICS}") if _has_metrics(path.parent)]
    if not runs:
        raise UserError(f"there is no run with metrics in {base.resolve()}: train first, or name the folder of a run")
    return max(runs, key=_written)


def _written(path: Path) -> float:
    return (path / METRICS).stat().st_mtime


def _has_metrics(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / METRICS).is_file()


def _require_metrics(path: Path) -> Path:
    if path.is_file():
        raise UserError(f"{path} is a file: the folder of a run is needed")
    if not (path / CONFIG).is_file():
        below = f" (runs='{path}/*' takes the runs in it)" if any(map(_has_metrics, path.glob("*"))) else ""
        raise UserError(f"the folder {path} is not a run folder of rmc-rl: it holds no {CONFIG}{below}")
    if not (path / METRICS).is_file():
        raise UserError(f"the run folder {path} holds no {METRICS}: there is nothing to draw yet")
    return path


def _require_inside(folder: Path, name: str) -> None:
    """A link in a run folder from elsewhere could bring a private file onto a page that is passed on."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder / name} is a link to outside the run folder: it is not read")


def _text(folder: Path, name: str) -> str:
    path = folder / name
    _require_inside(folder, name)
    try:
        if (size := os.stat(path).st_size) > LARGEST_FILE:
            raise UserError(
                f"{path} is too large to be read: {size / 2**20:.0f} MB, at most {LARGEST_FILE / 2**20:.0f}"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from error


def _columns(folder: Path) -> dict[str, np.ndarray]:
    path = folder / METRICS
    # A line without an end is one that is being written, or that a killed run left.
    lines = [line for line in _text(folder, METRICS).splitlines(keepends=True) if line.endswith("\n")]
    try:
        header, *rows = [row for row in csv.reader(lines) if row] or [[]]
    except csv.Error as error:
        raise UserError(f"{path} is not a metrics file of rmc-rl: {error}") from error
    if "steps" not in header or len(set(header)) < len(header):
        raise UserError(
            f"{path} is not a metrics file of rmc-rl: its first line does not name the columns, steps first"
        )
    numbers = [
        [_number(path, name, cell) for name, cell in zip(header, row, strict=True)]
        for row in rows
        if len(row) == len(header)
    ]
    steps = header.index("steps")
    kept: list[list[float]] = []
    for line in numbers:
        # A run that was resumed by hand, its file joined: what it did again counts.
        while kept and kept[-1][steps] >= line[steps]:
            kept.pop()
        if math.isfinite(line[steps]):
            kept.append(line)
    if not kept:
        raise UserError(f"{path} holds no line of metrics yet: there is nothing to draw")
    return dict(zip(header, np.array(kept).T, strict=True))


def _number(path: Path, name: str, cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise UserError(f"{path} holds {cell[:40]!r} in column {name[:40]!r}, where a number is needed") from None


def _record(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object; what a command printed before it, on other lines, is passed over."""
    if not (folder / name).is_file():
        return {}
    text = _text(folder, name).strip()
    for part in (text, text.rpartition("\n")[2]):
        try:
            found = _bounded(json.loads(part))
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise UserError(f"{folder / name} does not hold a JSON object: remove it, or write it again")


def _bounded(value: Any) -> Any:
    """The same with infinity for whole numbers that are too large to be drawn, or to be written as text."""
    if isinstance(value, dict):
        return {key: _bounded(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return math.inf if value > 0 else -math.inf
    return value


def _flat(section: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in section.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat
