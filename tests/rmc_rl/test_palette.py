from __future__ import annotations

import numpy as np

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
