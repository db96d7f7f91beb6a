"""What is drawn is read back from the figure."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rmc_rl.analysis import pictures
from rmc_rl.errors import UserError
from rmc_rl.shares import Share


def test_points_have_their_intervals_and_stand_beside_the_trivial() -> None:
    shares = [Share(8, 10, 10), Share(0, 0, 0), Share(10, 10, 10)]
    panel = pictures.Points("Title", "along", ["a", "b", "c"], shares, {"guess": [0.1, 0.2, 0.3]})
    figure = pictures.points("All", [panel, panel], (3.0, 2.0))
    for axes in figure.axes:
        (guess, dots) = axes.get_lines()[:2]
        np.testing.assert_array_equal(guess.get_xdata(), [-0.5, 0.5, 0.5, 1.5, 1.5, 2.5])
        np.testing.assert_array_equal(guess.get_ydata(), [0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
        np.testing.assert_array_equal(dots.get_ydata(), [0.8, np.nan, 1.0])
        (bars,) = axes.collections
        low, high = shares[0].interval
        np.testing.assert_allclose(bars.get_segments()[0], [[0, low], [0, high]])
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["model, with its 95 % interval", "guess"]


def test_heat_maps_write_their_numbers_where_there_is_room() -> None:
    small = pictures.Heat("Small", "down", "along", ["1", "2"], ["x"], [[0.5], [float("nan")]])
    names = [str(number) for number in range(40)]
    large = pictures.Heat("Large", "down", "along", names, names, [[0.5] * 40] * 40)
    one, other = pictures.heats("All", [small, large], (3.0, 3.0)).axes
    assert [text.get_text() for text in one.texts] == ["50.0", "–"]  # noqa: RUF001
    assert len(other.texts) == 0
    ticks = [label.get_text() for label in other.get_xticklabels()]
    assert ticks == [str(number) for number in range(0, 40, 3)]


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r'^plots need matplotlib, .*pip install "rmc-rl\[plot\]"$'):
        pictures.require()
