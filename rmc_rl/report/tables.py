"""The figures of a report: scores, speeds, settings and what differs in them, what ran."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmc_rl.curves.axes import NOTHING, alike, compact, duration, figure, signed
from rmc_rl.curves.bands import Estimate, estimate
from rmc_rl.curves.kinds import Kind
from rmc_rl.curves.runs import Run
from rmc_rl.curves.settings import ABSENT, Setting, short_key, typed
from rmc_rl.run_folder import typed_command

MODES = ("sampled", "greedy")


@dataclass(frozen=True)
class Head:
    """A column's name, and the hover text that explains it."""

    name: str
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table: the classes of its swatch ('' for none), and its cells."""

    pen: str
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """Heads and rows; the first cell names the row."""

    heads: list[Head]
    rows: list[Row]


def scores(settings: Sequence[Setting], metric: str, pens: Mapping[str, str]) -> Table:
    """A row for each setting: how good its seeds became."""
    kind = settings[0].kind
    heads = [
        Head("setting", "what differs from the other settings"),
        Head("seeds"),
        Head(f"final {metric}", f"{kind.meaning(metric)}; at the last line; over seeds, with its interval"),
        Head("highest", "the highest that a seed had at any line"),
        Head(kind.unit, kind.meaning("steps")),
        Head("time", kind.meaning("seconds")),
        _pace(kind, ", over seeds"),
    ]
    rows = []
    for setting in settings:
        best = [number for run in setting.runs if math.isfinite(number := highest(run, metric)[0])]
        cells = [
            setting.label,
            str(len(setting.runs)),
            interval(estimate([run.last(metric) for run in setting.runs])),
            figure(max(best)) if best else NOTHING,
            _span([float(run.steps) for run in setting.runs], lambda steps: f"{steps:,.0f}"),
            _span([run.last("seconds") for run in setting.runs], duration),
            interval(estimate([pace(run) for run in setting.runs])),
        ]
        rows.append(Row(pens[setting.label], cells))
    return Table(heads, rows)


def run_scores(settings: Sequence[Setting], metric: str, pens: Mapping[str, str]) -> Table:
    """A row for each run."""
    runs = [(setting, run) for setting in settings for run in setting.runs]
    kind = settings[0].kind
    heads = [
        Head("run", "the run's folder"),
        Head("seed"),
        Head(f"final {metric}", f"{kind.meaning(metric)}; at the last line"),
        Head("highest", f"the highest at any line, and after how many {kind.unit}"),
        Head(kind.unit, kind.meaning("steps")),
        Head("of its budget", f"{kind.unit}, as a share of total_steps"),
        Head("time", kind.meaning("seconds")),
        _pace(kind),
    ]
    rows = []
    for setting, run in runs:
        best, where = highest(run, metric)
        budget = run.settings.get("total_steps")
        cells = [
            run.name,
            typed(run.settings.get("seed", NOTHING)),
            figure(run.last(metric)),
            f"{figure(best)} at {compact(where)}" if math.isfinite(best) else NOTHING,
            f"{run.steps:,}",
            f"{100 * run.steps / budget:.0f} %" if isinstance(budget, int) and budget > 0 else NOTHING,
            duration(run.last("seconds")),
            figure(pace(run)),
        ]
        rows.append(Row(pens[setting.label], cells))
    return Table(heads, rows)


def evaluations(settings: Sequence[Setting], pens: Mapping[str, str]) -> Table | None:
    """A row for each run that was evaluated; None where none was."""
    heads = [
        Head("run", "the run's folder"),
        Head("episodes", "fresh ones, of each mode"),
        Head("after steps", "steps that the agent had learnt from"),
        *(Head(mode, f"mean return with {mode} actions ± 95 % of the mean") for mode in MODES),
        *(Head(f"median, {mode}") for mode in MODES),
    ]
    rows = []
    for setting in settings:
        for run in setting.runs:
            found = {name: _number(value) for name, value in run.evaluation.items()}
            means = [_margin(found, mode) for mode in MODES]
            if means == [NOTHING] * len(MODES):
                continue
            counts = [_whole(found.get(name, math.nan)) for name in ("episodes", "steps")]
            medians = [figure(found.get(f"median_return_{mode}", math.nan)) for mode in MODES]
            rows.append(Row(pens[setting.label], [run.name, *counts, *means, *medians]))
    return Table(heads, rows) if rows else None


def throughput(settings: Sequence[Setting], pens: Mapping[str, str]) -> Table:
    """A row for each setting: how fast, and what waited for what; means over lines and seeds."""
    kind = settings[0].kind
    heads = [Head("setting"), _pace(kind)]
    heads += [Head(name, kind.meaning(name)) for name in (*kind.speeds, *kind.shares)]
    heads.append(Head("memory", f"{kind.meaning('memory_mb')}; the most at any line"))
    if kind.plays:
        heads.append(Head("restarts", kind.meaning("restarts")))
    rows = []
    for setting in settings:
        speeds = [compact(_mean(setting, name)) for name in kind.speeds]
        shares = [_share(_mean(setting, name)) for name in kind.shares]
        memory = max((highest(run, "memory_mb")[0] for run in setting.runs), key=_or_least)
        cells = [setting.label, figure(float(np.mean([pace(run) for run in setting.runs]))), *speeds, *shares]
        cells.append(f"{memory:,.0f} MB" if math.isfinite(memory) else NOTHING)
        if kind.plays:
            cells.append(compact(max((run.last("restarts") for run in setting.runs), key=_or_least)))
        rows.append(Row(pens[setting.label], cells))
    return Table(heads, rows)


def differing(settings: Sequence[Setting], pens: Mapping[str, str]) -> Table | None:
    """A row for each setting, a column for each key that they differ in; None where there is nothing to compare."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting.distinctions))
    if not keys:
        return None
    rows = []
    for setting in settings:
        cells = [setting.label] + [typed(setting.settings.get(key, ABSENT)) for key in keys]
        rows.append(Row(pens[setting.label], cells))
    return Table([Head("setting"), *(Head(short_key(key)) for key in keys)], rows)


def shared(settings: Sequence[Setting]) -> Table:
    """Every key that all settings have with one value."""
    first, *others = [setting.settings for setting in settings]
    rows = [
        Row("", [key, typed(value)])
        for key, value in first.items()
        if all(other.get(key, ABSENT) == value for other in others)
    ]
    return Table([Head("key"), Head("value")], rows)


def machines(runs: Sequence[Run]) -> tuple[Table, Table | None]:
    """What ran: hardware, commit and versions that all runs share, and what differs, run by run."""
    records = [{str(key): _words(value) for key, value in run.versions.items() if key != "command"} for run in runs]
    keys = list(dict.fromkeys(key for record in records for key in record))
    same = [key for key in keys if len({record.get(key) for record in records}) == 1]
    common = Table([Head("what"), Head("value")], [Row("", [key, records[0][key]]) for key in same])
    others = [key for key in keys if key not in same]
    if not others:
        return common, None
    rows = [
        Row("", [run.name, *(record.get(key, NOTHING) for key in others)])
        for run, record in zip(runs, records, strict=True)
    ]
    return common, Table([Head("run"), *map(Head, others)], rows)


def commands(runs: Sequence[Run]) -> Table:
    """What was typed for each run."""
    return Table([Head("run"), Head("command")], [Row("", [run.name, typed_command(run.versions)]) for run in runs])


def highest(run: Run, metric: str) -> tuple[float, float]:
    """The highest number of a column and the steps it was reached after; NaN where there is none."""
    values = run.columns.get(metric, np.empty(0))
    if not np.isfinite(values).any():
        return math.nan, math.nan
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    return float(values[best]), float(run.columns["steps"][best])


def pace(run: Run) -> float:
    """Steps a second over the whole training time."""
    seconds = run.last("seconds")
    return run.steps / seconds if seconds > 0 else math.nan


def interval(found: Estimate | None) -> str:
    """A number over seeds with its interval: ``0.86 (0.80 to 0.94)``."""
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return figure(found.middle)
    middle, low, high = alike([found.middle, found.low, found.high])
    if low == high:
        return middle
    return f"{middle} ({low} to {high})"


def _pace(kind: Kind, over: str = "") -> Head:
    return Head(f"{kind.unit}/s", f"{kind.unit} over the whole training time{over}")


def _span(numbers: Sequence[float], words: Any) -> str:
    known = [number for number in numbers if math.isfinite(number)]
    if not known:
        return NOTHING
    low, high = words(min(known)), words(max(known))
    return low if low == high else f"{low} to {high}"


def _mean(setting: Setting, name: str) -> float:
    columns = [run.columns[name] for run in setting.runs if name in run.columns]
    numbers = np.concatenate([column[np.isfinite(column)] for column in columns]) if columns else np.empty(0)
    return float(numbers.mean()) if len(numbers) else math.nan


def _share(number: float) -> str:
    return f"{100 * number:.0f} %" if math.isfinite(number) else NOTHING


def _or_least(number: float) -> float:
    return number if math.isfinite(number) else -math.inf


def _margin(found: Mapping[str, float], mode: str) -> str:
    mean, margin = (found.get(f"{what}_return_{mode}", math.nan) for what in ("mean", "ci95"))
    if not math.isfinite(mean):
        return NOTHING
    return signed(f"{mean:,.2f}") + (f" ± {margin:,.2f}" if math.isfinite(margin) else "")


def _whole(number: float) -> str:
    return f"{number:,.0f}" if math.isfinite(number) else NOTHING


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _words(value: Any) -> str:
    if value is None:
        return "not known"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
