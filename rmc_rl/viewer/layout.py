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
        memory: the memory, what it read and its gates.
        course: value, reward, entropy and action probabilities over time.
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
    """Lay the parts out: the board beside the mind, or above it where the picture is higher than wide; below the time.

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
    gap = max(3, round(12 * unit))
    header = Rect(gap, gap // 2, max(1, width - 2 * gap), round(40 * unit))
    top = header.bottom + gap // 2
    course_height = round((0.18 if upright else 0.285) * height)
    course = Rect(gap, height - gap - course_height, max(1, width - 2 * gap), max(1, course_height))

    numbers_height = round(62 * unit)
    room = max(4, course.top - gap - top)
    if upright:
        board_width = course.width
        board_height = min(round(board_width / board_aspect), round(0.42 * room))
        left, right_width = gap, board_width
        right_top = top + board_height + numbers_height + 2 * gap
    else:
        board_height = room - numbers_height - gap
        board_width = min(max(round(board_height * board_aspect), round(0.30 * width)), round(0.40 * width))
        left = board_width + 2 * gap
        right_top, right_width = top, width - left - gap
    board = Rect(gap, top, max(1, board_width), max(1, board_height))
    numbers = Rect(gap, board.bottom + gap, board.width, numbers_height)

    column = max(4, course.top - gap - right_top)
    upper = max(1, int((0.38 if upright else 0.34) * column)) if has_memory else column
    title = round(36 * unit)
    sees_width = round((upper - title - gap) * sees_aspect) + 2 * gap
    sees_width = min(max(sees_width, round(0.22 * right_width)), round(0.48 * right_width))
    sees = Rect(left, right_top, max(1, sees_width), upper)
    policy = Rect(sees.right + gap, right_top, max(1, right_width - sees_width - gap), upper)
    memory_height = max(1, column - upper - gap) if has_memory else 0
    memory = Rect(left, sees.bottom + gap, max(1, right_width), memory_height)
    return Layout(unit, gap, header, board, numbers, sees, policy, memory, course)
