from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmc_rl.curves.axes import MINUS, NOTHING, alike, compact, duration, figure, round_numbers, tick_words, x_axis


@pytest.mark.parametrize(
    ("largest", "divisor", "unit"),
    [(100, 1, "seconds"), (120, 60, "minutes"), (7100, 60, "minutes"), (7200, 3600, "hours")],
)
def test_time_is_told_in_the_unit_it_deserves(largest: float, divisor: float, unit: str) -> None:
    axis = x_axis("seconds", largest, "steps")
    assert axis.divisor == divisor
    assert axis.label == f"training time in {unit}"


def test_other_columns_are_told_as_they_are() -> None:
    for column, label in {"steps": "environment steps", "updates": "learner updates"}.items():
        axis = x_axis(column, 1e9, "environment steps")
        assert (axis.divisor, axis.label) == (1, label)


@settings(deadline=None, derandomize=True)
@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(2, 8))
def test_round_numbers_span_what_is_shown(low: float, span: float, count: int) -> None:
    ticks = round_numbers(low, low + span, count)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= low + span - 1e-6 * step
    assert 2 <= len(ticks) <= count + 3
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(ticks))


def test_round_numbers_are_round() -> None:
    assert round_numbers(3, 91, 5) == [0, 20, 40, 60, 80, 100]
    assert round_numbers(0.21, 0.94, 4) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert round_numbers(8, 8, 4)[0] < 8 < round_numbers(8, 8, 4)[-1]
    assert round_numbers(0, 0, 4)[0] < 0 < round_numbers(0, 0, 4)[-1]


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        ([0, 5e5, 1e6], ["0.0", "0.5 M", "1.0 M"]),
        ([0, 20_000, 40_000], ["0", "20 k", "40 k"]),
        ([-1232, -1230, -1228], [f"{MINUS}1,232", f"{MINUS}1,230", f"{MINUS}1,228"]),
        ([0.2, 0.4], ["0.2", "0.4"]),
        ([-0.5, 0, 0.5], [f"{MINUS}0.5", "0.0", "0.5"]),
        ([0, 2.5, 5], ["0.0", "2.5", "5.0"]),
        ([0, 2e-6, 4e-6], ["0", "2e-06".replace("-", MINUS), "4e-06".replace("-", MINUS)]),
        ([], []),
    ],
)
def test_ticks_are_as_short_as_they_stay_apart(ticks: list[float], words: list[str]) -> None:
    assert tick_words(ticks) == words


@settings(deadline=None, derandomize=True)
@given(st.floats(-1e8, 1e8), st.floats(1e-3, 1e8), st.integers(2, 8))
def test_neighbouring_ticks_never_read_the_same(low: float, span: float, count: int) -> None:
    ticks = round_numbers(low, low + span, count)
    assert len(set(tick_words(ticks))) == len(ticks)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2_500_000, "2.5 M"),
        (99_960, "100 k"),
        (999_700, "1 M"),
        (0.05, "0.05"),
        (0, "0"),
        (-3, f"{MINUS}3"),
        (2e9, "2 G"),
        (-1e99, f"{MINUS}1.0e+99"),
    ],
)
def test_compact_numbers(value: float, words: str) -> None:
    assert compact(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(441.69, "441.7"), (-1230.4, f"{MINUS}1,230"), (0.94, "0.94"), (1e6, "1 M"), (1e-5, f"1.0e{MINUS}05"), (0.0, "0")],
)
def test_figures_have_four_digits(value: float, words: str) -> None:
    assert figure(value) == words
    assert figure(math.nan) == compact(math.inf) == duration(math.nan) == NOTHING


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([0.86, 0.8043, 0.94], ["0.86", "0.80", "0.94"]),
        ([4290, 3520, 5140], ["4,290", "3,520", "5,140"]),
        ([441.69, 423.8, 459.5], ["442", "424", "460"]),
        ([2.5e6, 2.4e6, 2.7e6], ["2.50 M", "2.40 M", "2.70 M"]),
        ([3.0, 3.0, 3.0], ["3", "3", "3"]),
        ([-0.01, -0.12, 0.2], [f"{MINUS}0.01", f"{MINUS}0.12", "0.20"]),
    ],
)
def test_an_interval_has_the_digits_that_its_width_deserves(numbers: list[float], words: list[str]) -> None:
    assert alike(numbers) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9.34, "9.3 s"), (842, "14 min 02 s"), (59.99, "60.0 s"), (3900, "1 h 05 min"), (3599.7, "1 h 00 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
