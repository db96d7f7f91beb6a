"""Shares of right answers, each with the interval that so few observations allow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmc_rl.curves.axes import NOTHING

Z = 1.959963984540054
"""Half of a normal distribution's central 95 %, in standard deviations."""


@dataclass(frozen=True)
class Share:
    """So many of so many.

    Attributes:
        right: of them.
        count: observations.
        effective: how many independent observations they are worth; all where they are independent.
    """

    right: int
    count: int
    effective: float

    @property
    def value(self) -> float:
        """NaN of none."""
        return self.right / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, which is neither empty nor beyond 0 and 1 where all are right or none is.

        NaN of none.
        """
        if not self.count:
            return math.nan, math.nan
        n, p = self.effective, self.value
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        return max(middle - half, 0.0), min(middle + half, 1.0)

    @property
    def words(self) -> tuple[str, str]:
        """The share and its interval, for a table."""
        if not self.count:
            return NOTHING, ""
        low, high = self.interval
        digits = 1 if high - low >= 0.002 else 2 if high - low >= 0.0002 else 3
        return percent(self.value), f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"

    def as_json(self) -> dict[str, Any]:
        """Share, interval and count; null of none."""
        low, high = self.interval
        return {"share": self.value, "low": low, "high": high, "count": self.count}


def independent(right: Tensor) -> Share:
    """Of bool ``[B]``, each an observation of its own."""
    return Share(int(right.sum()), len(right), len(right))


def clustered(right: Tensor, count: Tensor) -> Share:
    """Of ``[B]`` sequences with so many answers each, of which so many are right.

    Answers to one sequence are right or wrong together, more or less. The variance of the share (a ratio of sums over
    independent sequences) says how many independent answers they are worth: as many as there are sequences at least.
    """
    right, count = right.double(), count.double()
    total, sequences = float(count.sum()), int((count > 0).sum())
    if not total:
        return Share(0, 0, 0.0)
    value = float(right.sum()) / total
    variance = float((right - value * count).square().sum()) / total**2
    effective = value * (1 - value) / variance if variance > 0 else 0.0
    return Share(int(right.sum()), int(total), min(max(effective, sequences), total))


def by_group(right: Tensor, groups: Tensor, number: int) -> list[Share]:
    """A share for each of the groups 0 .. number - 1: of bool ``[B]`` that belong to int64 ``[B]``."""
    counts = torch.bincount(groups, minlength=number).tolist()
    sums = torch.bincount(groups[right], minlength=number).tolist()
    return [Share(one, count, count) for one, count in zip(sums, counts, strict=True)]


def percent(value: float) -> str:
    """``93.8 %``; 100 % and 0 % are said of nothing less; NaN is a dash."""
    if math.isnan(value):
        return NOTHING
    for digits in (1, 2, 3):
        text = f"{100 * value:.{digits}f}"
        if value in (0.0, 1.0) or float(text) not in (0.0, 100.0):
            break
    return f"{text.removesuffix('.0')} %" if value in (0.0, 1.0) else f"{text} %"
