"""Mini Pacman for people: the maze in 24-pixel cells, with a strip below for power and level.

Only numpy is used. The maze's walls and all sprites are made once; a frame copies the walls and lays the rest on top.
What the agent sees is not drawn here but by ``kernels.draw_game``.
"""

from functools import cache

import numpy as np

from rmc_envs import pixels
from rmc_envs.minipacman.kernels import GONE, POWER_STEPS, VIEW
from rmc_envs.minipacman.maze import (
    CELL_COLUMN,
    CELL_ROW,
    COLUMNS,
    DIRECTION_COLUMN,
    DIRECTION_ROW,
    FOOD,
    OPEN_CELLS,
    PICTURE,
    ROWS,
    cell_at,
)

CELL = 24
MARGIN = 12
STRIP = 24
HEIGHT, WIDTH = ROWS * CELL + STRIP, COLUMNS * CELL + 2 * MARGIN
"""384 x 480 pixels, multiples of 16 as video encoders like them."""

_WALL, _WALL_EDGE = (33, 41, 92), (84, 104, 204)
_FOOD = (240, 190, 150)
_GHOST, _FRIGHTENED, _RECOVERING = (240, 60, 52), (52, 84, 232), (226, 230, 250)
_WHITE, _PUPIL = (250, 250, 255), (24, 28, 80)
_DIMMED = 0.45
_FADING = 6  # power at which frightened ghosts begin to flash


def frame(state: np.ndarray, game: int) -> np.ndarray:
    """The whole maze of one game, uint8 [384, 480, 3]."""
    record = state[game]
    picture = _walls().copy()
    for cell in OPEN_CELLS[record["ground"][OPEN_CELLS] == FOOD]:
        _lay(picture, cell, _food())
    for cell in record["pills"]:
        if cell != GONE:
            _lay(picture, cell, _pill())
    power = int(record["power"])
    for ghost in range(int(record["num_ghosts"])):
        _lay(picture, record["ghosts"][ghost], _ghost(int(record["ghost_headings"][ghost]), _mood(power)))
    _lay(picture, record["pacman"], _pacman(int(record["pacman_heading"])))
    _draw_strip(picture, power, int(record["level"]), float(record["score"]))
    return picture


def viewport_frame(state: np.ndarray, game: int) -> np.ndarray:
    """``frame`` with the agent's 5x5 window outlined and everything outside of it dimmed."""
    bright = frame(state, game)
    picture = pixels.dim(bright, _DIMMED)
    picture[ROWS * CELL :] = bright[ROWS * CELL :]
    top, left = _corner(state["pacman"][game])
    reach = VIEW // 2 * CELL
    first_row, last_row = max(top - reach, 0), min(top + reach + CELL, ROWS * CELL)
    first_column, last_column = max(left - reach, 0), min(left + reach + CELL, WIDTH)
    window = slice(first_row, last_row), slice(first_column, last_column)
    picture[window] = bright[window]
    pixels.outline(picture, first_row, first_column, last_row - first_row, last_column - first_column, 2, pixels.PALE)
    return picture


def _mood(power: int) -> str:
    if power == 0:
        return "hunting"
    return "recovering" if power <= _FADING and power % 2 == 0 else "frightened"


def _corner(cell: int) -> tuple[int, int]:
    """The top left pixel of a cell."""
    return int(CELL_ROW[cell]) * CELL, int(CELL_COLUMN[cell]) * CELL + MARGIN


def _lay(picture: np.ndarray, cell: int, stamp: np.ndarray) -> None:
    top, left = _corner(cell)
    pixels.blend(picture, top, left, stamp)


def text(state: np.ndarray, game: int) -> str:
    """One game in characters: ``#`` wall, ``.`` food, ``o`` pill, ``G`` ghost (``g`` if it flees), pacman's mouth."""
    return "\n".join(["".join(line) for line in _letters(state, game)] + [_status(state, game)])


def viewport_text(state: np.ndarray, game: int) -> str:
    """``text`` with a frame drawn about the agent's 5x5 window, which may reach beyond the maze."""
    letters = np.full((ROWS + 4, COLUMNS + 4), " ")
    letters[2:-2, 2:-2] = _letters(state, game)
    row, column = int(CELL_ROW[state["pacman"][game]]) + 2, int(CELL_COLUMN[state["pacman"][game]]) + 2
    reach = VIEW // 2
    lines = []
    for number, letters_row in enumerate(letters):
        line = "".join(letters_row)
        inside = abs(number - row) <= reach
        left, right = line[: column - reach], line[column + reach + 1 :]
        lines.append(
            f"{left}{'[' if inside else ' '}{line[len(left) : len(line) - len(right)]}{']' if inside else ' '}{right}"
        )
    return "\n".join([line.rstrip() for line in lines] + [_status(state, game)])


def _letters(state: np.ndarray, game: int) -> np.ndarray:
    """A character a cell, [15, 19]."""
    record = state[game]
    letters = np.array([[letter if letter == "#" else " " for letter in line] for line in PICTURE])

    def put(cells: np.ndarray, letter: str) -> None:
        letters[CELL_ROW[cells], CELL_COLUMN[cells]] = letter

    put(OPEN_CELLS[record["ground"][OPEN_CELLS] == FOOD], ".")
    put(record["pills"][record["pills"] != GONE], "o")
    put(record["ghosts"][: record["num_ghosts"]], "g" if record["power"] > 0 else "G")
    put(record["pacman"], "<v>^"[int(record["pacman_heading"])])  # the mouth opens ahead
    return letters


def _status(state: np.ndarray, game: int) -> str:
    record = state[game]
    return f"level {record['level']}  power {record['power']}  score {_number(record['score'])}  step {record['frame']}"


def _number(score: float) -> str:
    return f"{score:.0f}" if abs(score - round(score)) < 1e-6 else f"{score:.1f}"


def _draw_strip(picture: np.ndarray, power: int, level: int, score: float) -> None:
    """Power as a bar on the left, the score in the middle, the level as a row of marks on the right."""
    top = ROWS * CELL + 8
    digits = pixels.letters(_number(score), 2, pixels.PALE)
    left = (WIDTH - digits.shape[1]) // 2
    pixels.blend(picture, ROWS * CELL + (STRIP - digits.shape[0]) // 2, left, digits)
    pixels.fill(picture, top, MARGIN, 8, POWER_STEPS * 8, pixels.DULL)
    pixels.fill(picture, top, MARGIN, 8, power * 8, pixels.CYAN)
    for mark in range(min(level, 12)):
        pixels.fill(picture, top, WIDTH - MARGIN - 8 - 12 * mark, 8, 8, pixels.YELLOW)


@cache
def _walls() -> np.ndarray:
    picture = pixels.canvas(HEIGHT, WIDTH)
    pixels.fill(picture, 0, 0, ROWS * CELL, WIDTH, _WALL)
    wall = np.array([[letter == "#" for letter in line] for line in PICTURE])
    around = np.pad(wall, 1, constant_values=True)
    pixels.fill(picture, 0, MARGIN, ROWS * CELL, COLUMNS * CELL, pixels.NIGHT)
    for row, column in np.argwhere(wall):
        top, left = _corner(cell_at(row, column))
        pixels.fill(picture, top, left, CELL, CELL, _WALL)
        above, below = around[row, column + 1], around[row + 2, column + 1]
        before, after = around[row + 1, column], around[row + 1, column + 2]
        if not above:
            pixels.fill(picture, top, left, 2, CELL, _WALL_EDGE)
        if not below:
            pixels.fill(picture, top + CELL - 2, left, 2, CELL, _WALL_EDGE)
        if not before:
            pixels.fill(picture, top, left, CELL, 2, _WALL_EDGE)
        if not after:
            pixels.fill(picture, top, left + CELL - 2, CELL, 2, _WALL_EDGE)
        # inner corners: both neighbours are wall, the cell between them is not
        for down in (0, 2):
            for right in (0, 2):
                sides = around[row + down, column + 1] and around[row + 1, column + right]
                if sides and not around[row + down, column + right]:
                    pixels.fill(picture, top + down * 11, left + right * 11, 2, 2, _WALL_EDGE)
    return picture


@cache
def _food() -> np.ndarray:
    return pixels.sprite(CELL, [(pixels.disc(0.17), _FOOD)])


@cache
def _pill() -> np.ndarray:
    return pixels.sprite(CELL, [(pixels.disc(0.52), pixels.CYAN), (pixels.disc(0.16, -0.16, -0.18), _WHITE)])


@cache
def _pacman(heading: int) -> np.ndarray:
    right, down = int(DIRECTION_COLUMN[heading]), int(DIRECTION_ROW[heading])
    whole = pixels.disc(0.86)

    def body(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ahead, aside = x * right + y * down, np.abs(x * down) + np.abs(y * right)
        return whole(x, y) & ~(ahead + 0.08 > 1.25 * aside)

    return pixels.sprite(CELL, [(body, pixels.YELLOW)])


def _ghost_body(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dome = (y <= -0.06) & pixels.disc(0.78, 0.0, -0.06)(x, y)
    skirt = (np.abs(x) < 0.78) & (y > -0.06) & (y < 0.72 + 0.14 * np.cos(x / 0.78 * 3 * np.pi))
    return dome | skirt


def _ghost_mouth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(y - 0.34 - 0.08 * np.cos(x * 14)) < 0.07) & (np.abs(x) < 0.52)


@cache
def _ghost(heading: int, mood: str) -> np.ndarray:
    body_colour = {"hunting": _GHOST, "frightened": _FRIGHTENED, "recovering": _RECOVERING}[mood]
    layers: list[tuple[pixels.Shape, pixels.Colour]] = [(_ghost_body, body_colour)]
    if mood == "hunting":
        right, down = int(DIRECTION_COLUMN[heading]), int(DIRECTION_ROW[heading])
        for side in (-0.32, 0.32):
            eye_right, eye_down = side + 0.08 * right, -0.14 + 0.06 * down
            layers.append((pixels.disc(0.26, eye_right, eye_down), _WHITE))
            layers.append((pixels.disc(0.13, eye_right + 0.1 * right, eye_down + 0.1 * down), _PUPIL))
    else:
        face = _WHITE if mood == "frightened" else _GHOST
        layers += [(pixels.disc(0.14, side, -0.18), face) for side in (-0.28, 0.28)]
        layers.append((_ghost_mouth, face))
    return pixels.sprite(CELL, layers)
