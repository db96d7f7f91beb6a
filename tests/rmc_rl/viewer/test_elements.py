from __future__ import annotations

import numpy as np
import pygame
import pytest
from pygame import Rect

from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.elements import MINUS, choices, number, scale, shades
from rmc_rl.viewer.layout import arrange


@pytest.fixture
def canvas() -> Canvas:
    canvas = Canvas()
    canvas.surface = pygame.Surface((400, 60))
    return canvas


LAY = arrange(1280, 720, 1.25, 1.0, True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (12345.0, "12,345"),
        (0.125, "0.12"),
        (-2.5, f"{MINUS}2.50"),
        (123.456, "123.5"),
        (-1e-9, "0"),
        (0.001, "0"),
    ],
)
def test_numbers_as_people_write_them(value: float, words: str) -> None:
    assert number(value) == words


def test_a_sign_is_shown_where_asked() -> None:
    assert [number(value, signed=True) for value in (1.0, 0.0, -1.0)] == ["+1", "0", f"{MINUS}1"]


def test_shades_go_from_the_ground_to_the_colour() -> None:
    colours = shades(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]), (200, 100, 0), (0, 0, 100))
    expected = [(0, 0, 100), (0, 0, 100), (100, 50, 50), (200, 100, 0), (200, 100, 0), (0, 0, 100)]
    assert [tuple(colour) for colour in colours.tolist()] == expected


def test_choices_stand_where_they_are_drawn_and_inside_the_line(canvas: Canvas) -> None:
    line = Rect(10, 10, 380, 36)
    end, rects = choices(canvas, LAY, 20, line, "head", ["mean", "1", "2"], 1)
    assert [rect.left for rect in rects] == sorted(rect.left for rect in rects)
    assert end == rects[-1].right <= line.right
    grounds = [tuple(canvas.surface.get_at((rect.left + 1, rect.centery)))[:3] == palette.TRACK for rect in rects]
    assert grounds == [False, True, False]
    _, few = choices(canvas, LAY, 20, Rect(10, 10, 120, 36), "head", [str(i) for i in range(30)], 0)
    assert 0 < len(few) < 30
    assert all(rect.right <= 130 for rect in few)


def test_a_scale_that_has_no_room_is_left_out(canvas: Canvas) -> None:
    colours = palette.heat(np.linspace(-1, 1, 61), 1.0)
    assert scale(canvas, LAY, Rect(0, 0, 60, 20), "-1", "+1", colours) == 60
    assert not pygame.surfarray.array3d(canvas.surface).any()
    left = scale(canvas, LAY, Rect(0, 0, 400, 20), "-1", "+1", colours)
    assert 200 < left < 330
    assert not pygame.surfarray.array3d(canvas.surface)[:left].any()
    assert pygame.surfarray.array3d(canvas.surface)[left:].any()
