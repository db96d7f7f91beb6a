"""What a figure's axes say, for every kind of figure alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

X_NAMES = {
    "steps": "steps",
    "seconds": "training time",
    "episodes": "episodes",
    "updates": "learner updates",
    "sequences": "sequences",
}
"""The columns a figure can be drawn along, and what they are called; a kind of runs knows better what its steps are."""

UNITS = ((9, " G"), (6, " M"), (3, " k"))
SPELT_OUT = 100_000
"""Numbers in a table are written with units from here on."""
LARGEST_SPELT = 1e15
"""From here on, which only a run that diverged reaches, with a power of ten."""
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"


@dataclass(frozen=True)
class XAxis:
    """What numbers along x are divided by, and what they then are."""

    divisor: float
    label: str


def x_axis(column: str, largest: float, steps: str) -> XAxis:
    """The axis for a column whose largest number is given: time in seconds, minutes or hours.

    Args:
        column: a key of `X_NAMES`.
        largest: number on it.
        steps: what steps are.
    """
    name = steps if column == "steps" else X_NAMES[column]
    if column != "seconds":
        return XAxis(1.0, name)
    for divisor, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if largest >= 2 * divisor:
            return XAxis(divisor, f"{name} in {unit}")
    return XAxis(1.0, f"{name} in seconds")


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """Round numbers from the last below what is shown to the first above it: 0, 50, 100 for 3 to 91.

    Args:
        low: the smallest number shown.
        high: the largest.
        count: of intervals wanted; a step is 1, 2 or 5 times a power of ten, so there may be two more.
    """
    largest = max(abs(low), abs(high), 1e-100)
    if not high - low > 1e-9 * largest:  # as good as one number
        largest = largest if largest > 1e-100 else 1.0
        low, high = low - largest / 2, high + largest / 2
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def tick_words(ticks: Sequence[float]) -> list[str]:
    """Evenly spaced numbers as short as they stay apart: 0, 0.5 M, 1 M; 1,225, 1,230."""
    largest = max(map(abs, ticks), default=0.0)
    step = min((abs(after - before) for before, after in pairwise(ticks)), default=0.0) or largest or 1.0
    power, unit = next(((10.0**p, u) for p, u in UNITS if largest >= 10**p and step >= 10 ** (p - 2)), (1.0, ""))
    if largest and not 1e-4 <= largest < LARGEST_SPELT:
        return [signed(f"{tick:.2g}") for tick in ticks]
    places = max(0, -math.floor(math.log10(step / power) + 1e-9))
    # A step such as 2.5 has one more digit than its size says.
    places += round(step / power, places) != round(step / power, places + 1)
    return [signed(f"{tick / power:,.{places}f}{unit if tick else ''}") for tick in ticks]


def compact(value: float) -> str:
    """A number in a few characters: 2.5 M, 100 k, 0.05."""
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= LARGEST_SPELT or 0 < abs(value) < 1e-4:
        return signed(f"{value:.1e}")
    for power, unit in UNITS:
        if abs(value) >= 0.9995 * 10**power:
            return signed(f"{value / 10**power:.3g}{unit}")
    return signed(f"{value:.3g}")


def figure(value: float) -> str:
    """A number with four digits: 441.7, 1,230, 0.05; a large one in units."""
    if not math.isfinite(value) or abs(value) >= SPELT_OUT or 0 < abs(value) < 1e-4:
        return compact(value)
    return signed(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")


def alike(numbers: Sequence[float]) -> list[str]:
    """A number and its interval with as many digits as the interval's width deserves: 0.86, 0.80, 0.94."""
    width = max(numbers) - min(numbers)
    largest = max(map(abs, numbers))
    if not 1e-4 <= width < 1e12:
        return list(map(figure, numbers))
    power, unit = next(((10.0**p, u) for p, u in UNITS if largest >= max(10**p, SPELT_OUT)), (1.0, ""))
    # Two digits of the width, and not more than four in all.
    places = 1 - math.floor(math.log10(width / power))
    places = max(0, min(places, 3 - math.floor(math.log10(largest / power))))
    return [signed(f"{number / power:,.{places}f}{unit}") for number in numbers]


def duration(seconds: float) -> str:
    """A time in its two largest units: 1 h 05 min, 14 min 02 s, 9.3 s."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def signed(text: str) -> str:
    """A number with a true minus sign, and without one for nothing."""
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", MINUS)
