from __future__ import annotations

import itertools

import pytest
from pygame import Rect

from rmc_rl.viewer.layout import arrange

SIZES = [(320, 240), (480, 300), (960, 540), (1280, 720), (2560, 1440), (3440, 1440), (700, 1100), (1000, 1000)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("board_aspect", [0.5, 1.25, 2.4])
@pytest.mark.parametrize("has_memory", [True, False])
def test_parts_lie_inside_and_apart(width: int, height: int, board_aspect: float, has_memory: bool) -> None:
    lay = arrange(width, height, board_aspect, 1.0, has_memory)
    parts = [lay.header, lay.board, lay.numbers, lay.sees, lay.policy, lay.course, *([lay.memory] * has_memory)]
    for part in parts:
        assert Rect(0, 0, width, height).contains(part), part
        assert part.width > 10
        assert part.height > 10
    for one, other in itertools.combinations(parts, 2):
        assert not one.colliderect(other), (one, other)


def test_the_board_lies_beside_the_rest_or_above_it() -> None:
    wide, tall = arrange(1280, 720, 1.25, 1.0, True), arrange(720, 1280, 1.25, 1.0, True)
    assert wide.sees.left > wide.board.right
    assert tall.sees.top > tall.board.bottom


def test_everything_grows_with_the_picture() -> None:
    small, large = arrange(1280, 720, 1.25, 1.0, True), arrange(2560, 1440, 1.25, 1.0, True)
    assert large.unit == 2 * small.unit
    assert large.board.width == pytest.approx(2 * small.board.width, abs=8)
