"""Quantities that change over a run: a function of the share of the budget that is spent."""

from __future__ import annotations


def scheduled(initial: float, final: float, schedule: str, progress: float) -> float:
    """The value at `progress` (0 at the start, 1 when the budget is spent; clipped to that range).

    ``constant`` stays at `initial`; ``linear`` goes in a straight line to `final`.
    """
    if schedule == "constant":
        return initial
    progress = min(max(progress, 0.0), 1.0)
    return initial + (final - initial) * progress
