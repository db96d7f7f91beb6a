from __future__ import annotations

import sys

import numpy as np
import pytest

from rmc_rl.curves import bands as module
from rmc_rl.curves.bands import Band, caption, estimate, interval, join, middle, reach, smoothed, thinned
from rmc_rl.errors import UserError


def _curve(x: list[float], y: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(x, float), np.array(y, float)


def test_the_middle_is_the_mean_of_the_middle_half() -> None:
    values = np.array([[9.0, -50.0], [2.0, 1.0], [3.0, 2.0], [4.0, 3.0], [5.0, 4.0], [6.0, 5.0], [7.0, 6.0], [99, 7]])
    np.testing.assert_allclose(middle(values), [np.mean([4, 5, 6, 7]), np.mean([2, 3, 4, 5])])
    np.testing.assert_allclose(middle(values[:3]), values[:3].mean(0))


def test_the_interval_is_the_percentile_bootstrap_of_whole_curves() -> None:
    """Against a bootstrap written out, with resamples of its own."""
    random = np.random.default_rng(5)
    values = random.normal(size=(6, 3)).cumsum(1)
    low, high = interval(values)
    drawn = np.sort(values[random.integers(0, 6, (20_000, 6))], axis=1)  # [resamples, seeds, N]
    expected = np.quantile(drawn[:, 1:-1].mean(1), [0.025, 0.975], axis=0)
    np.testing.assert_allclose([low, high], expected, atol=0.08 * np.ptp(expected))
    assert (low < middle(values)).all()
    assert (middle(values) < high).all()


def test_the_interval_is_the_same_every_time() -> None:
    values = np.random.default_rng(0).normal(size=(11, 20))  # so many seeds that chance shows in the quantiles
    np.testing.assert_array_equal(interval(values), interval(values.copy()))


def test_seeds_with_one_curve_have_a_band_of_no_width() -> None:
    curve = _curve([1, 2], [3, 4])
    band = join([curve] * 4)
    assert band is not None
    np.testing.assert_allclose(band.low, [3, 4])
    np.testing.assert_allclose(band.high, [3, 4])


def test_one_seed_is_drawn_as_it_is() -> None:
    x, y = np.arange(1000.0), np.random.default_rng(0).normal(size=1000)
    band = join([(x, y), _curve([], [])])
    assert band is not None
    assert band.low is None
    assert band.high is None
    assert band.seeds == 1
    np.testing.assert_array_equal(band.x, x)
    np.testing.assert_array_equal(band.middle, y)
    assert caption([band]) == ""


def test_of_two_seeds_the_band_is_their_range() -> None:
    band = join([_curve([0, 10], [0, 10]), _curve([0, 5, 10], [4, 4, 4])])
    assert band is not None
    np.testing.assert_array_equal(band.x, [0, 5, 10])
    np.testing.assert_allclose(band.middle, [2, 4.5, 7])
    np.testing.assert_allclose(band.low, [0, 4, 4])
    np.testing.assert_allclose(band.high, [4, 5, 10])
    assert caption([band]) == "line: mean over seeds; band of two seeds: their range"


def test_lines_are_joined_over_what_all_seeds_reached_and_beyond_each_stands_alone() -> None:
    band = join([_curve([2, 4, 6], [1, 2, 3]), _curve([1, 5, 9, 12], [0, 4, 8, 9]), _curve([1, 6], [5, 5])])
    assert band is not None
    np.testing.assert_array_equal(band.x, [2, 4, 5, 6])
    np.testing.assert_allclose(band.middle[[0, -1]], [(1 + 1 + 5) / 3, (3 + 5 + 5) / 3])
    ((x, y),) = band.beyond
    np.testing.assert_array_equal(x, [6, 9, 12])
    np.testing.assert_allclose(y, [5, 8, 9])
    assert reach(band) == 12
    assert "faint: single seeds" in caption([band])


def test_seeds_that_never_overlap_stand_alone() -> None:
    band = join([_curve([1, 2], [1, 1]), _curve([5, 6], [2, 3])])
    assert band is not None
    assert len(band.x) == 0
    ((x, y),) = band.beyond
    np.testing.assert_array_equal(x, [5, 6])
    np.testing.assert_array_equal(y, [2, 3])
    assert reach(band) == 6


def test_nothing_to_draw() -> None:
    assert join([]) is None
    assert join([_curve([], [])] * 3) is None
    assert estimate([float("nan")]) is None


def test_long_curves_are_thinned_to_their_ends() -> None:
    found = thinned(np.arange(10_000.0))
    assert len(found) == module.MOST_POINTS
    assert found[0] == 0
    assert found[-1] == 9999
    assert (np.diff(found) > 0).all()


def test_an_estimate_has_the_interval_of_its_number() -> None:
    found = estimate([1.0, 2.0, float("nan"), 6.0])
    assert found is not None
    assert found.seeds == 3
    assert found.middle == 3
    assert found.low is not None
    assert found.high is not None
    assert 1 <= found.low < 3 < found.high <= 6
    alone = estimate([2.0])
    assert alone is not None
    assert (alone.middle, alone.low, alone.high) == (2.0, None, None)


def test_smoothing_is_the_mean_of_lines_around() -> None:
    curve = _curve([1, 2, 3, 4, 5], [0, 3, 6, 0, 9])
    np.testing.assert_allclose(smoothed(curve, 3)[1], [1.5, 3, 3, 5, 4.5])
    np.testing.assert_array_equal(smoothed(curve, 1)[1], curve[1])
    np.testing.assert_allclose(smoothed(curve, 100)[1][2], 18 / 5)
    assert len(smoothed(curve, 100)[1]) == 5
    assert len(smoothed(_curve([], []), 3)[1]) == 0


def test_the_caption_says_what_is_drawn() -> None:
    def band(seeds: int) -> Band:
        return Band(np.zeros(1), np.zeros(1), None, None, [], seeds)

    assert caption([band(3)]) == "line: mean over seeds; band: its 95 % bootstrap interval"
    assert caption([band(5), band(1)]) == (
        "line: interquartile mean over seeds; band: its 95 % bootstrap interval; without a band: one seed"
    )
    assert "band of two seeds: their range" in caption([band(4), band(2)])
    assert caption([]) == ""


def test_without_scipy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError, match=r'need scipy, .*: pip install "rmc-rl\[plot\]"'):
        middle(np.zeros((3, 1)))
