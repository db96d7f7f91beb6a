from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmc_rl import palette


def test_signs_have_their_colours_and_size_their_brightness() -> None:
    colours = palette.heat(np.array([-2.0, -1.0, 0.0, 1.0, 9.0]), 1.0)
    assert colours.dtype == np.uint8
    assert tuple(colours[0]) == tuple(colours[1]) == palette.BLUE
    assert tuple(colours[3]) == tuple(colours[4]) == palette.ORANGE
    assert colours[2].max() < 60
    ramp = palette.heat(np.linspace(0, 1, 20), 1.0).astype(int).sum(-1)
    assert (np.diff(ramp) > 0).all()


def test_shape_is_kept_and_nan_is_nothing() -> None:
    colours = palette.heat(np.array([[np.nan, 0.0]]), 2.0)
    assert colours.shape == (1, 2, 3)
    np.testing.assert_array_equal(colours[0, 0], colours[0, 1])


# What people see that lack one kind of cone (Machado, Oliveira and Fernandes 2009), in linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "no long": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "no medium": np.array([[0.3673, 0.8607, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "no short": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _linear(colour: palette.Colour) -> np.ndarray:
    share = np.array(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(np.clip(XYZ @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089], 1e-3, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(
    ("series", "ground"),
    [(palette.SERIES, palette.GROUND), (palette.PAPER_SERIES, palette.PAPER)],
    ids=["dark", "paper"],
)
def test_series_stand_out_from_their_ground_and_from_one_another(
    series: tuple[palette.Colour, ...], ground: palette.Colour
) -> None:
    """A contrast of 3 is what WCAG asks of graphics; 10 in CIELAB is a difference one sees at a glance."""
    for colour in series:
        light, dark = sorted((float(XYZ[1] @ _linear(one)) for one in (colour, ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, colour
    for name, matrix in SIGHT.items():
        for one, other in itertools.combinations(series, 2):
            distance = np.linalg.norm(_lab(matrix @ _linear(one)) - _lab(matrix @ _linear(other)))
            assert distance > 10, (name, one, other)


def test_css() -> None:
    assert palette.css((0, 10, 255)) == "#000aff"
