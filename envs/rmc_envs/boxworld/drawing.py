"""BoxWorld for people: the room in 32-pixel cells, with a strip below for the steps left and the boxes opened.

A key is drawn as a key and a lock as a padlock, in brighter versions of the colours that the agent sees; colours next
to each other on the colour wheel have different emblems, too. A frame joins a lock to what it locks. The key held hangs
in the top left cell of the wall, where the agent sees it. Only numpy is used. What the agent sees is not drawn here but
by ``kernels.draw_room`` and ``kernels.draw_window``.
"""

import string
from functools import cache

import numpy as np

from rmc_envs import pixels
from rmc_envs.boxworld.kernels import ACTION_COLUMN, ACTION_ROW, NO_KEY, PASTELS, VIEW
from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, GEM, KEYS, LOCKS, NUM_COLOURS

CELL = 32
STRIP = 32
"""Pixels. With the wall, a room is a multiple of 32 high and wide, as video encoders like it."""

_WALL, _WALL_EDGE = (33, 41, 92), (84, 104, 204)
_FLOOR, _OTHER_FLOOR, _HOLE = (20, 23, 39), (24, 28, 46), (12, 14, 24)
_AGENT, _PUPIL, _WHITE = (176, 181, 200), (24, 28, 80), (250, 250, 255)
_GEM_SIDES = (176, 224, 240)
_GEM_FOOT = (120, 190, 224)
_DIMMED = 0.45
_BOX_EDGE = 3
_KEY_LETTERS = string.ascii_lowercase[:NUM_COLOURS]


def frame(state: np.ndarray, game: int, max_steps: int) -> np.ndarray:
    """The whole room of one game, uint8 [32 * side + 32, 32 * side, 3], where the side counts the wall."""
    record = state[game]
    board = record["board"]
    picture = _room(board.shape[0]).copy()
    for row, column in np.argwhere(board >= LOCKS):
        _draw_box(picture, row, column - 1, int(board[row, column] - LOCKS) % NUM_COLOURS)
    for row, column in np.argwhere((board >= GEM) & (board < LOCKS)):
        content = int(board[row, column])
        in_box = board[row, column + 1] >= LOCKS
        stamp = _gem() if content == GEM else _key(content - KEYS)
        pixels.blend(picture, row * CELL, column * CELL + (_BOX_EDGE if in_box else 0), stamp)
    if record["held"] != NO_KEY:
        pixels.blend(picture, 0, 0, _key(int(record["held"])))
    row, column = int(record["agent_row"]), int(record["agent_column"])
    pixels.blend(picture, row * CELL, column * CELL, _agent(int(record["heading"])))
    _draw_strip(picture, record, max_steps)
    return picture


def viewport_frame(state: np.ndarray, game: int, max_steps: int) -> np.ndarray:
    """``frame`` with the agent's 5x5 window outlined and everything else dimmed but the key held, which it sees too."""
    bright = frame(state, game, max_steps)
    size = bright.shape[1]
    picture = pixels.dim(bright, _DIMMED)
    picture[size:] = bright[size:]
    hook = slice(0, CELL - 2), slice(0, CELL - 2)
    picture[hook] = bright[hook]
    reach = VIEW // 2 * CELL
    row, column = (int(state[axis][game]) * CELL for axis in ("agent_row", "agent_column"))
    first_row, last_row = max(row - reach, 0), min(row + reach + CELL, size)
    first_column, last_column = max(column - reach, 0), min(column + reach + CELL, size)
    window = slice(first_row, last_row), slice(first_column, last_column)
    picture[window] = bright[window]
    pixels.outline(picture, first_row, first_column, last_row - first_row, last_column - first_column, 2, pixels.PALE)
    return picture


def text(state: np.ndarray, game: int, max_steps: int) -> str:
    """One game in characters: ``#`` wall, ``@`` agent, ``*`` gem, a letter for each colour, a lock's in upper case.

    The key held stands in the top left corner of the wall.
    """
    return "\n".join(["".join(line) for line in _letters(state[game])] + [_status(state[game], max_steps)])


def viewport_text(state: np.ndarray, game: int, max_steps: int) -> str:
    """``text`` in wider rows, with brackets about the agent's 5x5 window, which may reach beyond the wall."""
    record = state[game]
    letters = np.pad(_letters(record), 1, constant_values=" ")
    row, left = int(record["agent_row"]) + 1, int(record["agent_column"]) + 1 - VIEW // 2
    lines = []
    for number, cells in enumerate(letters):
        gaps = [" "] * (cells.size + 1)
        if abs(number - row) <= VIEW // 2:
            gaps[left], gaps[left + VIEW] = "[]"
        lines.append("".join(map("".join, zip(gaps, [*cells, ""], strict=True))).rstrip())
    return "\n".join([*lines, _status(record, max_steps)])


def _letters(record: np.void) -> np.ndarray:
    """A character a cell, [side, side]."""
    letters = np.array([*" #*", *_KEY_LETTERS, *_KEY_LETTERS.upper(), *_KEY_LETTERS.upper()])[record["board"]]
    if record["held"] != NO_KEY:
        letters[0, 0] = _KEY_LETTERS[record["held"]]
    letters[record["agent_row"], record["agent_column"]] = "@"
    return letters


def _status(record: np.void, max_steps: int) -> str:
    key = "no key" if record["held"] == NO_KEY else f"key {_KEY_LETTERS[record['held']]}"
    return f"{key}  score {record['score']}  step {record['frame']} of {max_steps}"


def _draw_box(picture: np.ndarray, row: int, column: int, colour: int) -> None:
    """The two cells of a locked box from ``row, column``: a frame in the lock's colour, and the lock on the right."""
    top, left = row * CELL + 1, column * CELL + 1
    pixels.fill(picture, top, left, CELL - 2, 2 * CELL - 2, _HOLE)
    pixels.outline(picture, top, left, CELL - 2, 2 * CELL - 2, _BOX_EDGE, _bright(colour, 0.55))
    pixels.blend(picture, row * CELL, (column + 1) * CELL, _lock(colour))


def _draw_strip(picture: np.ndarray, record: np.void, max_steps: int) -> None:
    """The steps left as a bar on the left, then the score; on the right a mark for each box of the solution.

    A mark is lit when the box is open. The last mark is the gem's, lit when it is taken.
    """
    size = picture.shape[1]
    digits = pixels.letters(str(record["score"]), 2, pixels.PALE)
    pixels.blend(picture, size + (STRIP - digits.shape[0]) // 2, size // 3 + 24, digits)
    board, length = record["board"], int(record["solution_length"])
    top, width = size + 12, size // 3
    left = max(max_steps - int(record["frame"]), 0) / max_steps
    pixels.fill(picture, top, 12, 8, width, pixels.DULL)
    pixels.fill(picture, top, 12, 8, round(left * width), pixels.CYAN)
    opened = length - int(((board >= LOCKS) & (board < DISTRACTOR_LOCKS)).sum())
    for box in range(length):
        colour = pixels.YELLOW if box < opened else pixels.DULL
        pixels.fill(picture, top, size - 22 - 12 * (length - box), 8, 8, colour)
    if length > 0:
        pixels.blend(picture, top - 2, size - 22, _gem_mark(pixels.DULL if (board == GEM).any() else _WHITE))


@cache
def _room(side: int) -> np.ndarray:
    """An empty room with its wall, the place for a key in the wall, and the empty strip."""
    picture = pixels.canvas(side * CELL + STRIP, side * CELL)
    pixels.fill(picture, 0, 0, side * CELL, side * CELL, _WALL)
    inner = (side - 2) * CELL
    pixels.fill(picture, CELL - 2, CELL - 2, inner + 4, inner + 4, _WALL_EDGE)
    for row in range(1, side - 1):
        for column in range(1, side - 1):
            shade = _FLOOR if (row + column) % 2 else _OTHER_FLOOR
            pixels.fill(picture, row * CELL, column * CELL, CELL, CELL, shade)
    pixels.fill(picture, 1, 1, CELL - 4, CELL - 4, _HOLE)
    return picture


def _bright(colour: int, share: float = 1.0) -> pixels.Colour:
    """A key's colour for people: the hue the agent sees, saturated."""
    pastel = PASTELS[colour].astype(float)
    lifted = 60 + 195 * (pastel - PASTELS.min()) / np.ptp(PASTELS)
    red, green, blue = np.rint(lifted * share).astype(int).tolist()
    return red, green, blue


def _emblem(colour: int, size: float, right: float, down: float) -> pixels.Shape:
    """A disc, a square, a triangle or a diamond about ``(right, down)``."""

    def shape(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across, along = np.abs(x - right), y - down
        return [
            across**2 + along**2 < size**2,
            np.maximum(across, np.abs(along)) < 0.86 * size,
            (along < 0.8 * size) & (along > 2 * across - 1.2 * size),
            across + np.abs(along) < 1.25 * size,
        ][colour % 4]

    return shape


def _rectangle(left: float, right: float, top: float, bottom: float) -> pixels.Shape:
    return lambda x, y: (x > left) & (x < right) & (y > top) & (y < bottom)


@cache
def _key(colour: int) -> np.ndarray:
    parts = [
        pixels.disc(0.42, -0.36),
        _rectangle(-0.1, 0.7, -0.11, 0.11),
        _rectangle(0.28, 0.43, 0.0, 0.42),
        _rectangle(0.55, 0.7, 0.0, 0.36),
    ]
    layers = [(part, _bright(colour)) for part in parts]
    return pixels.sprite(CELL, [*layers, (_emblem(colour, 0.2, -0.36, 0.0), _HOLE)])


@cache
def _lock(colour: int) -> np.ndarray:
    def shackle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        around = np.hypot(x, np.minimum(y + 0.2, 0.0))
        return (around > 0.24) & (around < 0.42) & (y < 0.0)

    body = _rectangle(-0.56, 0.56, -0.06, 0.66)
    colours = _bright(colour, 0.75), _bright(colour)
    return pixels.sprite(CELL, [(shackle, colours[0]), (body, colours[1]), (_emblem(colour, 0.22, 0.0, 0.3), _HOLE)])


@cache
def _gem() -> np.ndarray:
    def cut(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        crown = (y > -0.55) & (y <= -0.15) & (np.abs(x) < 0.74 + 0.7 * (y + 0.15))
        return crown | (y > -0.15) & (np.abs(x) < 0.74 * (0.7 - y) / 0.85)

    def table(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return cut(x, y) & (y <= -0.15) & (np.abs(x) < 0.34 + 0.1 * y)

    def foot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return cut(x, y) & (y > -0.15)

    def middle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (y > -0.15) & (np.abs(x) < 0.32 * (0.7 - y) / 0.85)

    return pixels.sprite(CELL, [(cut, _GEM_SIDES), (table, _WHITE), (foot, _GEM_FOOT), (middle, _WHITE)])


@cache
def _gem_mark(colour: pixels.Colour) -> np.ndarray:
    return pixels.sprite(12, [(lambda x, y: np.abs(x) + np.abs(y) < 0.95, colour)])


@cache
def _agent(heading: int) -> np.ndarray:
    right, down = int(ACTION_COLUMN[heading]), int(ACTION_ROW[heading])
    layers = [(pixels.disc(0.72), _AGENT)]
    for side in (-0.28, 0.28):
        eye_right, eye_down = side + 0.1 * right, -0.08 + 0.12 * down
        layers.append((pixels.disc(0.23, eye_right, eye_down), _WHITE))
        layers.append((pixels.disc(0.12, eye_right + 0.09 * right, eye_down + 0.09 * down), _PUPIL))
    return pixels.sprite(CELL, layers)
