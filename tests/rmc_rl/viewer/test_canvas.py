from __future__ import annotations

import numpy as np
import pygame
import pytest
from pygame import Rect

from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas, Direction, Places


@pytest.fixture
def canvas() -> Canvas:
    canvas = Canvas()
    canvas.surface = pygame.Surface((200, 100))
    return canvas


def pixels(canvas: Canvas) -> np.ndarray:
    """uint8 [height, width, 3]."""
    return pygame.surfarray.array3d(canvas.surface).swapaxes(0, 1)


def test_a_small_picture_is_enlarged_by_a_whole_factor(canvas: Canvas) -> None:
    picture = np.random.default_rng(0).integers(1, 256, (5, 5, 3), np.uint8)
    place = canvas.picture(picture, Rect(10, 10, 63, 50))
    assert place.size == (50, 50)
    assert place.center == Rect(10, 10, 63, 50).center
    drawn = pixels(canvas)[place.top : place.bottom, place.left : place.right]
    np.testing.assert_array_equal(drawn, picture.repeat(10, 0).repeat(10, 1))


@pytest.mark.parametrize("shape", [(40, 60), (300, 700), (1, 1), (90, 3)])
def test_any_picture_fits_its_box_in_its_proportions(canvas: Canvas, shape: tuple[int, int]) -> None:
    box = Rect(5, 5, 190, 90)
    place = canvas.picture(np.full((*shape, 3), 200, np.uint8), box)
    assert box.contains(place)
    assert place.width == box.width or place.height == box.height
    assert place.width / place.height == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_text_is_cut_to_its_width(canvas: Canvas) -> None:
    whole = canvas.text("a rather long line of words", 0, 20, 16)
    cut = canvas.text("a rather long line of words", 0, 60, 16, width=whole // 2)
    assert 0 < cut <= whole // 2
    assert pixels(canvas)[45:75, : whole // 2].any()
    assert not pixels(canvas)[45:75, whole // 2 :].any()
    assert canvas.text("words", 0, 90, 16, width=1) <= 1


def test_text_is_aligned(canvas: Canvas) -> None:
    for align, columns in {"left": (100, 200), "right": (0, 100), "centre": (50, 150)}.items():
        canvas.surface.fill((0, 0, 0))
        canvas.text("word", 100, 50, 20, align=align)  # type: ignore[arg-type]
        found = np.flatnonzero(pixels(canvas).any(axis=(0, 2)))
        assert columns[0] <= found.min() <= found.max() < columns[1], align


def test_fitting_text_is_no_wider_than_asked(canvas: Canvas) -> None:
    size = canvas.fitting("1073741824", 60, 120)
    assert size < 60
    assert canvas.text_width("1073741824", size) <= 122
    assert canvas.fitting("1", 60, 120) == 60


@pytest.mark.parametrize("width", [150, 61, 20])
def test_a_strip_fills_its_box(canvas: Canvas, width: int) -> None:
    colours = palette.heat(np.linspace(-1, 1, 61), 1.0)
    canvas.strip(colours, Rect(10, 10, width, 20))
    drawn = pixels(canvas)
    assert drawn[10:30, 10 : 10 + width].any(axis=-1).all()
    assert not drawn[:, 10 + width :].any()
    np.testing.assert_array_equal(drawn[10], drawn[29])
    if width == 61:
        np.testing.assert_array_equal(drawn[10, 10:71], colours)


def test_bars_stand_on_the_bottom_or_about_the_middle(canvas: Canvas) -> None:
    box = Rect(0, 0, 200, 100)
    up, down = (10, 200, 10), (200, 10, 10)
    canvas.bars([1.0, 0.5], box, (up, down), 1.0)
    drawn = pixels(canvas)
    assert (drawn[2:98, 50] == up).all()
    assert (drawn[55:98, 150] == up).all()
    assert (drawn[:45, 150] != up).any()
    canvas.surface.fill((0, 0, 0))
    canvas.bars([1.0, -1.0], box, (up, down), 1.0)
    drawn = pixels(canvas)
    assert (drawn[5:45, 50] == up).all()
    assert not (drawn[55:, 50] == up).all(-1).any()
    assert (drawn[55:95, 150] == down).all()


def test_a_curve_spans_its_share_of_the_box(canvas: Canvas) -> None:
    canvas.curve(np.linspace(0.0, 1.0, 51), Rect(0, 0, 200, 100), 0.0, 1.0, 101, (255, 255, 255), 1.0)
    found = np.argwhere(pixels(canvas).any(-1))
    assert found[:, 1].max() == pytest.approx(100, abs=5)
    assert found[found[:, 1] < 5][:, 0].min() > 90
    assert found[found[:, 1] > 90][:, 0].min() < 10


def test_bars_of_a_span_fill_their_share(canvas: Canvas) -> None:
    canvas.bars([1.0] * 5, Rect(0, 0, 200, 100), ((10, 200, 10), (200, 10, 10)), 1.0, span=20)
    columns = np.flatnonzero((pixels(canvas) == (10, 200, 10)).all(-1).any(0))
    assert columns.max() == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    ("direction", "axis", "growing"), [("up", 0, 1), ("down", 0, 0), ("left", 1, 1), ("right", 1, 0)]
)
def test_arrows_are_thin_where_they_point(canvas: Canvas, direction: Direction, axis: int, growing: int) -> None:
    canvas.arrow(direction, (100, 50), 20, (255, 255, 255))
    widths = pixels(canvas).any(-1).sum(1 - axis)
    widths = widths[widths > 0]
    assert (widths[-1] > 3 * widths[0]) if growing else (widths[0] > 3 * widths[-1])
    assert np.argwhere(pixels(canvas).any(-1)).mean(0) == pytest.approx((50, 100), abs=7)


def test_pixels_are_drawn_as_they_are(canvas: Canvas) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    canvas.pixels(colours, (20, 30))
    np.testing.assert_array_equal(pixels(canvas)[30:37, 20:29], colours)


def test_places_of_few_values_are_their_own_and_of_many_are_shared() -> None:
    box = Rect(10, 0, 100, 5)
    few = Places(4, 10, box)
    assert few.lefts.tolist() == [10, 20, 30, 40, 50]
    np.testing.assert_array_equal(few.means(np.array([3.0, 1.0, 2.0, 5.0])), [3.0, 1.0, 2.0, 5.0])
    many = Places(1000, 1000, box)
    assert many.lefts.tolist() == list(range(10, 111))
    values = np.zeros(1000)
    values[137], values[500] = 5.0, -3.0
    assert np.flatnonzero(many.extremes(values)).tolist() == [13, 50]
    assert many.extremes(values)[[13, 50]].tolist() == [5.0, -3.0]
    np.testing.assert_allclose(many.means(values)[13], 0.5)
    rows = np.arange(2000.0).reshape(1000, 2)
    np.testing.assert_allclose(many.means(rows)[0], [9.0, 10.0])


def test_places_of_a_part_of_the_span() -> None:
    places = Places(333, 1000, Rect(0, 0, 100, 5))
    assert places.lefts[-1] == pytest.approx(33, abs=1)
    assert places.means(np.ones(333)).tolist() == [1.0] * (len(places.lefts) - 1)
    assert len(Places(0, 10, Rect(0, 0, 100, 5)).extremes(np.zeros(0))) == 0
    single = Places(1, 1000, Rect(0, 0, 100, 5))
    assert np.diff(single.lefts).tolist() == [1]
