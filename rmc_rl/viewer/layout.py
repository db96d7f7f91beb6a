"""What lies where: rectangles for the viewer's parts in a picture of any size."""

from __future__ import annotations

from dataclasses import dataclass

from pygame import Rect


@dataclass(frozen=True)
class Layout:
    """Where the parts lie, in pixels; no two overlap.

    Attributes:
        unit: pixels that stand for one pixel of a 1280 x 720 picture.
        gap: between parts.
        header: title and state.
        board: the environment's picture.
        numbers: return, step, …
        sees: the observation.
        policy: the action probabilities.
        memory: the memory.
        course: value and reward over time.
    """

    unit: float
    gap: int
    header: Rect
    board: Rect
    numbers: Rect
    sees: Rect
    policy: Rect
    memory: Rect
    course: Rect


def arrange(width: int, height: int, board_aspect: float, sees_aspect: float, has_memory: bool) -> Layout:
    """Lay the parts out: the board beside the rest, or above it where the picture is higher than wide.

    Args:
        width: of the picture.
        height: of the picture.
        board_aspect: width / height of the board.
        sees_aspect: width / height of the observation's picture.
        has_memory: whether the memory needs room.
    """
    upright = width < 1.05 * height
    unit = min(width / 720, height / 1280) if upright else min(width / 1280, height / 720)
    unit = min(max(unit, 0.45), 6.0)
    gap = max(3, round(14 * unit))
    header = Rect(gap, gap // 2, max(1, width - 2 * gap), round(44 * unit))
    numbers_height = round(76 * unit)
    top = header.bottom + gap // 2
    room = max(4, height - top - gap)
    if upright:
        board_width = width - 2 * gap
        board_height = min(round(board_width / board_aspect), round(0.42 * room))
        left, right_width = gap, board_width
        right_top = top + board_height + numbers_height + 2 * gap
    else:
        board_height = room - numbers_height - gap
        board_width = min(max(round(board_height * board_aspect), round(0.36 * width)), round(0.55 * width))
        left = board_width + 2 * gap
        right_top, right_width = top, width - left - gap
    board = Rect(gap, top, max(1, board_width), max(1, board_height))
    numbers = Rect(gap, board.bottom + gap, board.width, numbers_height)

    column = max(4, height - gap - right_top)
    shares = (0.40, 0.34, 0.26) if has_memory else (0.55, 0.0, 0.45)
    gaps = 2 * gap if has_memory else gap
    heights = [max(1, int(share * (column - gaps))) for share in shares]
    title = round(36 * unit)
    sees_width = round((heights[0] - title - gap) * sees_aspect) + 2 * gap
    sees_width = min(max(sees_width, round(0.28 * right_width)), round(0.48 * right_width))
    sees = Rect(left, right_top, max(1, sees_width), heights[0])
    policy = Rect(sees.right + gap, right_top, max(1, right_width - sees_width - gap), heights[0])
    memory = Rect(left, sees.bottom + gap, max(1, right_width), heights[1] if has_memory else 0)
    course_top = memory.bottom + gap if has_memory else sees.bottom + gap
    course = Rect(left, course_top, max(1, right_width), max(1, height - gap - course_top))
    return Layout(unit, gap, header, board, numbers, sees, policy, memory, course)
