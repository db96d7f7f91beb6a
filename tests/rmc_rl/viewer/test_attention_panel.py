from __future__ import annotations

import itertools

import numpy as np
import pygame
import pytest
from pygame import Rect

from rmc_rl.viewer.attention_panel import FROM_INPUT, FROM_SLOTS, Rows, flow, source_names, table
from rmc_rl.viewer.canvas import Canvas

BOX = Rect(0, 20, 260, 240)


@pytest.fixture
def canvas() -> Canvas:
    canvas = Canvas()
    canvas.surface = pygame.Surface((260, 280))
    return canvas


def pixels(canvas: Canvas) -> np.ndarray:
    """int [height, width, 3]."""
    return pygame.surfarray.array3d(canvas.surface).swapaxes(0, 1).astype(int)


def greenness(part: np.ndarray) -> np.ndarray:
    """Bool: where light from the input, and none from slots, falls."""
    return (part[..., 1] > 40) & (part[..., 1] > 2 * part[..., 0])


def purpleness(part: np.ndarray) -> np.ndarray:
    """Bool: where light from slots, and none from the input, falls."""
    return (part[..., 0] > 40) & (part[..., 0] > 1.3 * part[..., 1])


def test_sources_are_slots_and_then_the_input() -> None:
    assert source_names(np.ones((3, 4))) == ["1", "2", "3", "input"]
    assert source_names(np.ones((2, 4))) == ["1", "2", "input 1", "input 2"]


def test_rows_are_equal_and_inside_their_box() -> None:
    rows = Rows.within(Rect(0, 10, 50, 100), 4, 1.0)
    spans = [rows.span(i) for i in range(4)]
    assert spans[0][0] == 10
    assert spans[-1][1] <= 110
    assert len({last - first for first, last in spans}) == 1
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    few = Rows.within(Rect(0, 10, 50, 400), 2, 1.0)
    assert few.pitch == 60
    assert few.span(0)[0] == 150


def test_streams_arrive_at_the_slot_that_reads(canvas: Canvas) -> None:
    """Slot 1 reads only the input, slot 2 only slot 1: so they are lit beside their ends."""
    weights = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    rows = Rows.within(BOX, 2, 1.0)
    flow(canvas, weights, rows, BOX, 1.0)
    beside_readers = pixels(canvas)[:, 245:252]
    upper, lower = (beside_readers[slice(*rows.span(i))] for i in range(2))
    assert greenness(upper).mean() > 0.9
    assert purpleness(lower).mean() > 0.9
    drawn = pixels(canvas)
    assert (drawn == FROM_INPUT).all(-1).any()
    assert (drawn == FROM_SLOTS).all(-1).any()


def test_a_stream_is_as_thick_as_its_weight(canvas: Canvas) -> None:
    rows = Rows.within(BOX, 1, 1.0)
    first, last = rows.span(0)
    for share in (0.2, 0.5, 0.9):
        canvas.surface.fill((0, 0, 0))
        flow(canvas, np.array([[1 - share, share]]), rows, BOX, 1.0)
        column = pixels(canvas)[first:last, 250]
        assert greenness(column).mean() == pytest.approx(share, abs=0.06)


def test_weights_of_nothing_have_no_stream(canvas: Canvas) -> None:
    weights = np.array([[1.0, 0.0, 0.0], [0.999, 0.001, 0.0]])
    flow(canvas, weights, Rows.within(BOX, 2, 1.0), BOX, 1.0)
    assert not greenness(pixels(canvas)[:, 100:240]).any()
    assert purpleness(pixels(canvas)[:, 100:240]).any()


@pytest.mark.parametrize("slots", [1, 2, 8, 40, 200])
@pytest.mark.parametrize("size", [(260, 240), (60, 40), (12, 9)])
def test_any_number_of_slots_fits_any_box(canvas: Canvas, slots: int, size: tuple[int, int]) -> None:
    box = Rect(0, 20, *size)
    weights = np.random.default_rng(0).dirichlet(np.ones(slots + 1), slots)
    rows = Rows.within(box, slots, 1.0)
    flow(canvas, weights, rows, box, 1.0)
    table(canvas, weights, rows, box, Rect(0, 0, size[0], 20), 1.0)
    assert not pixels(canvas)[:, size[0] + 1 :].any()


def test_the_table_is_brightest_where_the_weight_is_largest(canvas: Canvas) -> None:
    weights = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    rows = Rows.within(BOX, 2, 1.0)
    table(canvas, weights, rows, BOX, Rect(0, 0, 260, 20), 1.0)
    drawn = pixels(canvas)
    cells = [[drawn[rows.span(i)[0] + 6, round((j + 0.5) * 260 / 3)].sum() for j in range(3)] for i in range(2)]
    assert np.argmax(cells, axis=1).tolist() == [0, 2]
    assert cells[0][0] > cells[0][1] > cells[0][2]
    assert drawn[:20].any(), "columns have names"
