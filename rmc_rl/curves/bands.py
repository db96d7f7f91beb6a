"""The curves of a setting's seeds as one line with a band.

The line is the interquartile mean over seeds: the mean of the middle half, which one lucky or lost seed does not move.
The band says how far chance could have moved the line: the 95 % percentile bootstrap interval, whole curves of seeds
drawn again and again from the setting's own (settings are the strata). Below four seeds the middle half is all of them,
so the line is the mean; of two the band is their range, of one there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmc_rl.errors import UserError

CONFIDENCE, RESAMPLES, TRIMMED = 0.95, 2000, 0.25
MOST_POINTS = 400
"""Of a line that joins several seeds, and of what a page draws."""

Curve = tuple[np.ndarray, np.ndarray]
"""Where, increasing, and how much: [N] each."""


@dataclass(frozen=True)
class Band:
    """One line with its band.

    Attributes:
        x: where, [N].
        middle: the line, [N].
        low: the band's lower edge, [N]; None where there is no band.
        high: its upper edge.
        beyond: the curves of the seeds that went further than all did, from where the line ends.
        seeds: how many curves were joined.
    """

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    beyond: list[Curve]
    seeds: int


@dataclass(frozen=True)
class Estimate:
    """One number over seeds and its interval, which is absent with one seed."""

    middle: float
    low: float | None
    high: float | None
    seeds: int


def join(curves: Sequence[Curve]) -> Band | None:
    """Join seeds, each linearly interpolated between its lines; None where no curve holds a number.

    Args:
        curves: one a seed. Those without a number, of runs in which no episode has ended, are passed over.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return None
    if len(curves) == 1:
        ((x, values),) = curves
        return Band(x, values, None, None, [], 1)
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    everywhere = np.unique(np.concatenate([x for x, _ in curves]))
    shared = thinned(everywhere[(everywhere >= begin) & (everywhere <= end)])
    values = np.stack([np.interp(shared, x, y) for x, y in curves])  # [seeds, N]
    beyond = [_from(end, curve) for curve in curves if curve[0][-1] > end]
    return Band(shared, middle(values), *interval(values), beyond, len(curves))


def estimate(values: Sequence[float]) -> Estimate | None:
    """The interquartile mean of one number a seed, with its interval; None without a number."""
    numbers = np.array([value for value in values if np.isfinite(value)])
    if not len(numbers):
        return None
    if len(numbers) == 1:
        return Estimate(float(numbers[0]), None, None, 1)
    low, high = interval(numbers[:, None])
    return Estimate(float(middle(numbers[:, None])[0]), float(low[0]), float(high[0]), len(numbers))


def middle(values: np.ndarray) -> np.ndarray:
    """The interquartile mean over seeds, [seeds, N] to [N]."""
    return _stats().trim_mean(values, TRIMMED, axis=0)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the band spans, [seeds, N] to two of [N]; the same at every call."""
    if len(values) == 2 or not values.shape[1]:
        return values.min(0), values.max(0)
    found = (
        _stats()
        .bootstrap(
            (values,),
            lambda resampled, axis: _stats().trim_mean(resampled, TRIMMED, axis=axis),
            axis=0,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            batch=100,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        .confidence_interval
    )
    return found.low, found.high


def smoothed(curve: Curve, lines: int) -> Curve:
    """Each value as the mean of so many lines around it, of fewer at the ends; 1 and below: as it is."""
    x, values = curve
    if lines <= 1 or not len(values):
        return curve
    window = np.ones(min(lines, len(values)))
    return x, np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def reach(band: Band) -> float:
    """How far its longest curve goes."""
    return float(max([*band.x[-1:], *(x[-1] for x, _ in band.beyond)]))


def caption(bands: Sequence[Band]) -> str:
    """What lines and bands are, in words for below a figure."""
    counts = {band.seeds for band in bands}
    most = max(counts, default=1)
    words = []
    if most > 1:
        words.append(f"line: {'interquartile mean' if most > 3 else 'mean'} over seeds")
    if most > 2:
        words.append(f"band: its {100 * CONFIDENCE:.0f} % bootstrap interval")
    if 2 in counts:
        words.append("band of two seeds: their range")
    if most > 1 and 1 in counts:
        words.append("without a band: one seed")
    if any(band.beyond for band in bands):
        words.append("faint: single seeds, where not all have come")
    return "; ".join(words)


def thinned(where: np.ndarray) -> np.ndarray:
    """At most `MOST_POINTS` of the numbers, evenly chosen, the first and the last among them."""
    if len(where) <= MOST_POINTS:
        return where
    return where[np.linspace(0, len(where) - 1, MOST_POINTS).round().astype(int)]


def _from(begin: float, curve: Curve) -> Curve:
    x, values = curve
    later = thinned(x[x > begin])
    where = np.concatenate([[begin], later]) if x[0] <= begin else later
    return where, np.interp(where, x, values)


def _stats():  # type: ignore[no-untyped-def]
    try:
        from scipy import stats
    except ImportError as error:
        raise UserError(f'bands need scipy, which cannot be imported ({error}): pip install "rmc-rl[plot]"') from error
    return stats
