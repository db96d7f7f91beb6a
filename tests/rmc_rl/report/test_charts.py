from __future__ import annotations

import json
import re

import numpy as np
import pytest

from rmc_rl.curves.bands import Band, join
from rmc_rl.curves.kinds import AGENT
from rmc_rl.report.charts import DASHES, NARROW, PENS, WIDE, Frame, chart, constant, pen


def _band(*seeds: tuple[list[float], list[float]]) -> Band:
    band = join([(np.array(x, float), np.array(y, float)) for x, y in seeds])
    assert band is not None
    return band


def _points(path: str) -> np.ndarray:
    return np.array([list(map(float, pair.split(","))) for pair in re.findall(r"[-\d.]+,[-\d.]+", path)])


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_lines_lie_where_the_ticks_say(frame: Frame) -> None:
    steps, values = [0, 20_000, 40_000, 100_000], [-1, 0.5, 2, 3]
    found = chart({"a": _band((steps, values))}, {"a": "pen-0"}, "return_mean", "steps", frame, AGENT)
    across, up = ({words: place for place, words in ticks} for ticks in (found.x_ticks, found.y_ticks))
    assert found.x_label == "environment steps"
    assert across["0"] == frame.left
    assert across["100 k"] == frame.width - frame.right
    points = _points(found.lines[0].path)
    assert points[0][0] == across["0"]
    assert points[2][0] == pytest.approx(across["0"] + 0.4 * (across["100 k"] - across["0"]), abs=0.1)
    assert points[0][1] == up["\N{MINUS SIGN}1"]
    assert points[2][1] == up["2"]
    assert (points[:, 1] >= frame.top).all()
    assert (points[:, 1] <= frame.height - frame.bottom).all()


def test_a_band_goes_round_its_line_and_faint_seeds_go_on() -> None:
    band = _band(([0, 10], [0, 10]), ([0, 10], [2, 6]), ([0, 20], [1, 9]))
    found = chart({"a": band}, {"a": "pen-0"}, "loss", "updates", WIDE, AGENT)
    (line,) = found.lines
    outline, middle = _points(line.band), _points(line.path)
    assert line.band.endswith("Z")
    upper, lower = outline[: len(middle)], outline[len(middle) :][::-1]
    np.testing.assert_array_equal(upper[:, 0], middle[:, 0])
    np.testing.assert_array_equal(lower[:, 0], middle[:, 0])
    assert (upper[:, 1] <= middle[:, 1]).all(), "up is less in a picture"
    assert (lower[:, 1] >= middle[:, 1]).all()
    (faint,) = line.faint
    assert _points(faint)[-1][0] == WIDE.width - WIDE.right


def test_readings_are_what_the_pointer_shows() -> None:
    bands = {"one": _band(([0, 100], [1, 2])), "two": _band(([0, 100], [1, 2]), ([0, 100], [2, 4]), ([0, 100], [3, 9]))}
    found = chart(bands, {"one": "pen-0", "two": "pen-1"}, "loss", "seconds", WIDE, AGENT)
    data = json.loads(found.readings)
    one, two = data["lines"]
    assert one["label"] == "one"
    assert one["words"] == ["1", "2"]
    assert one["at"] == ["0 seconds", "100 seconds"]
    assert one["x"] == [WIDE.left, WIDE.width - WIDE.right]
    assert re.fullmatch(r"5\.0  \(2\.0 to 9\.0\)", two["words"][1])
    assert two["pen"] == "pen-1"
    np.testing.assert_array_equal(_points(found.lines[1].path)[:, 1], two["y"])


def test_a_single_point_is_a_dot_and_a_single_number_has_room() -> None:
    (line,) = chart({"a": _band(([5], [3]))}, {"a": "pen-0"}, "loss", "steps", WIDE, AGENT).lines
    assert line.dot is not None
    (flat,) = chart({"a": _band(([0, 5], [3, 3]))}, {"a": "pen-0"}, "loss", "steps", WIDE, AGENT).lines
    assert WIDE.top < _points(flat.path)[0][1] < WIDE.height - WIDE.bottom
    assert flat.dot is None


def test_long_runs_stay_small() -> None:
    x = np.arange(50_000.0)
    found = chart({"a": _band((x.tolist(), np.sin(x).tolist()))}, {"a": "pen-0"}, "loss", "steps", WIDE, AGENT)
    assert len(found.readings) < 40_000
    assert len(_points(found.lines[0].path)) == 400


def test_every_line_has_a_look_of_its_own() -> None:
    assert len({pen(i) for i in range(PENS * DASHES)}) == PENS * DASHES
    assert pen(0) == "pen-0 dash-0"
    assert pen(PENS) == "pen-0 dash-1"


def test_columns_that_stand_still() -> None:
    assert constant([_band(([0, 5], [3, 3])), _band(([0, 5], [3, 3]))]) == 3
    assert constant([_band(([0, 5], [3, 3])), _band(([0, 5], [4, 4]))]) is None
