"""The maze of Mini Pacman and the tables the kernels walk it by.

A cell is one integer: its place in the maze written row by row with **one ring of outside cells around it**, 17 rows of
21 columns. The ring makes every 5x5 window around an open cell lie inside the array, so no kernel tests a border.
Directions are 0 right, 1 up, 2 left, 3 down; the reverse of ``d`` is ``d ^ 2``.
"""

import numpy as np

PICTURE = [
    "###################",
    "#...#.........#...#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#.#.............#.#",
    "#.####.#####.####.#",
    "#......#####......#",
    "#.####.#####.####.#",
    "#.#.............#.#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#...#.........#...#",
    "###################",
]

ROWS, COLUMNS = len(PICTURE), len(PICTURE[0])
STRIDE = COLUMNS + 2
NUM_CELLS = (ROWS + 2) * STRIDE

EMPTY, FOOD, WALL, OUTSIDE = 0, 1, 2, 3
"""What a cell of the ground holds. Pills, ghosts and pacman lie on top of it."""


def cell_at(row: int, column: int) -> int:
    """The cell at ``row, column`` of the 15x19 maze, both counted from 0 at the top left wall."""
    return (row + 1) * STRIDE + column + 1


def _ground() -> np.ndarray:
    ground = np.full((ROWS + 2, STRIDE), OUTSIDE, np.uint8)
    for row, line in enumerate(PICTURE):
        for column, letter in enumerate(line):
            ground[row + 1, column + 1] = WALL if letter == "#" else FOOD
    return ground.reshape(-1)


FULL_GROUND = _ground()
"""uint8 [357]: the ground as a level starts, food on every open cell."""

OPEN_CELLS = np.flatnonzero(FULL_GROUND == FOOD).astype(np.int16)
"""int16 [138]: the cells one can stand on."""

CELL_ROW = (np.arange(NUM_CELLS) // STRIDE - 1).astype(np.int16)
CELL_COLUMN = (np.arange(NUM_CELLS) % STRIDE - 1).astype(np.int16)

DIRECTION_ROW = np.array([0, -1, 0, 1], np.int16)
DIRECTION_COLUMN = np.array([1, 0, -1, 0], np.int16)
DIRECTION_STEP = DIRECTION_ROW * STRIDE + DIRECTION_COLUMN


def _exits() -> np.ndarray:
    exits = np.zeros((NUM_CELLS, 4), np.bool_)
    for cell in OPEN_CELLS:
        exits[cell] = FULL_GROUND[cell + DIRECTION_STEP] == FOOD
    return exits


EXITS = _exits()
"""bool [357, 4]: whether the cell next to an open cell, in each direction, is open."""

NUM_EXITS = EXITS.sum(axis=1).astype(np.int8)
"""int8 [357]: 2 in a corridor, 3 or 4 at a junction; the maze has no dead end."""
