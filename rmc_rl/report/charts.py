"""Learning curves as the numbers of an SVG: paths, ticks, and what a pointer over a curve can read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmc_rl.curves.axes import alike, figure, round_numbers, tick_words, x_axis
from rmc_rl.curves.bands import Band, Curve, reach, thinned
from rmc_rl.curves.kinds import Kind

PENS, DASHES = 7, 4
"""Colours and dashes of the style sheet; beyond their product they begin anew."""


@dataclass(frozen=True)
class Frame:
    """The size of a chart and of its margins, in units of its own.

    Attributes:
        width: of all.
        height: of all.
        left: where the plotting area begins; ``right``, ``top`` and ``bottom`` are margins too.
        ticks: about how many along x, and up y.
    """

    width: int
    height: int
    left: int = 54
    right: int = 18
    top: int = 12
    bottom: int = 44
    ticks: tuple[int, int] = (6, 5)


WIDE, NARROW = Frame(920, 380), Frame(360, 252, left=46, right=12, bottom=40, ticks=(4, 4))


@dataclass(frozen=True)
class Line:
    """One setting in a chart: classes of the style sheet, and paths."""

    label: str
    pen: str
    path: str
    band: str
    faint: list[str]
    dot: tuple[float, float] | None


@dataclass(frozen=True)
class Chart:
    """What the page's template draws.

    Attributes:
        metric: the column.
        words: what it holds.
        frame: sizes.
        x_label: below the axis.
        x_ticks: position and words.
        y_ticks: position and words.
        lines: one a setting.
        readings: JSON for the pointer: the frame, and for each line its positions and the words to show there.
    """

    metric: str
    words: str
    frame: Frame
    x_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]
    readings: str


def pen(number: int) -> str:
    """The classes of the style sheet for the line of this number."""
    turn, colour = divmod(number, PENS)
    return f"pen-{colour} dash-{turn % DASHES}"


def chart(bands: Mapping[str, Band], pens: Mapping[str, str], metric: str, x: str, frame: Frame, kind: Kind) -> Chart:
    """Lay lines with their bands out in a frame.

    Args:
        bands: by label; at least one.
        pens: each label's classes.
        metric: the column up y.
        x: the column along x.
        frame: sizes.
        kind: of the runs.
    """
    largest = max(map(reach, bands.values()))
    along = x_axis(x, largest, kind.steps)
    values = np.concatenate([part for band in bands.values() for part in _values(band)])
    ups = round_numbers(float(values.min()), float(values.max()), frame.ticks[1])
    acrosses = round_numbers(0.0, largest / along.divisor, frame.ticks[0])
    acrosses = [tick for tick in acrosses if tick <= largest / along.divisor * 1.001]
    right, bottom = frame.width - frame.right, frame.height - frame.bottom

    def across(number: float) -> float:
        return round(frame.left + (right - frame.left) * number / (largest or 1.0), 1)

    def up(number: float) -> float:
        return round(bottom - (bottom - frame.top) * (number - ups[0]) / (ups[-1] - ups[0]), 1)

    def points(curve: Curve) -> list[str]:
        return [f"{across(a)},{up(b)}" for a, b in zip(*curve, strict=True)]

    lines, readings = [], []
    for label, band in bands.items():
        where = thinned(band.x)
        kept = np.searchsorted(band.x, where)
        middle = band.middle[kept]
        edges = None if band.low is None or band.high is None else (band.low[kept], band.high[kept])
        outline = [] if edges is None else [*points((where, edges[1])), *reversed(points((where, edges[0])))]
        lines.append(
            Line(
                label,
                pens[label],
                _path(points((where, middle))),
                _path(outline, closed=True),
                [_path(points(curve)) for curve in band.beyond],
                (across(where[0]), up(middle[0])) if len(where) == 1 else None,
            )
        )
        readings.append(
            {
                "label": label,
                "pen": pens[label],
                "x": [across(number) for number in where],
                "y": [up(number) for number in middle],
                "at": [_at(number, x, along.divisor, along.label) for number in where],
                "words": [_reading(i, middle, edges) for i in range(len(where))],
            }
        )
    data: dict[str, Any] = {"left": frame.left, "right": right, "top": frame.top, "bottom": bottom, "lines": readings}
    return Chart(
        metric,
        kind.describe(metric),
        frame,
        along.label,
        [(across(tick * along.divisor), words) for tick, words in zip(acrosses, tick_words(acrosses), strict=True)],
        [(up(tick), words) for tick, words in zip(ups, tick_words(ups), strict=True)],
        lines,
        json.dumps(data, allow_nan=False, separators=(",", ":")),
    )


def constant(bands: Iterable[Band]) -> float | None:
    """The number that all lines stand at all the time; None where one moves."""
    values = np.unique(np.concatenate([part for band in bands for part in _values(band)]))
    return float(values[0]) if len(values) == 1 else None


def _values(band: Band) -> Iterable[np.ndarray]:
    edges = [edge for edge in (band.low, band.high) if edge is not None]
    return [band.middle, *edges, *(values for _, values in band.beyond)]


def _path(points: Sequence[str], closed: bool = False) -> str:
    return "M" + "L".join(points) + ("Z" if closed else "") if points else ""


def _at(number: float, x: str, divisor: float, label: str) -> str:
    if x == "seconds":
        return f"{number / divisor:,.3g} {label.rpartition(' ')[2]}"
    return f"{math.floor(number):,} {label.rpartition(' ')[2]}"


def _reading(i: int, middle: np.ndarray, edges: tuple[np.ndarray, np.ndarray] | None) -> str:
    if edges is None:
        return figure(float(middle[i]))
    value, low, high = alike([float(part[i]) for part in (middle, *edges)])
    return f"{value}  ({low} to {high})"
