"""The levels of BoxWorld: what a cell can hold, and the generator that draws a level and lays it out on a board.

A level is made of abstract keys 1 .. 20. The loose key is 1; the solution's box i is locked by i and holds key i + 1,
the last one the gem. A forward distractor is a branch of boxes that starts at a lock of the solution and leads to keys
the solution does not use; a backward distractor is a box with such a lock and a key of the solution. A permutation
drawn for each level says which colour each abstract key has.

Objects are put down one after the other on random places with room around them, so that they touch neither each other
nor the wall. After 200 failed tries the whole level is drawn anew, its numbers of boxes included, as in the authors'
code: where space is short, long levels are therefore rarer than short ones.
"""

from typing import NamedTuple

import numpy as np

from rmc_envs.batch import Record
from rmc_envs.compiling import kernel
from rmc_envs.random_stream import below

NUM_COLOURS = 20

EMPTY, WALL, GEM = 0, 1, 2
KEYS = 3
"""The first of 20 cells that hold a key, one for each colour."""
LOCKS = KEYS + NUM_COLOURS
"""The first of 20 locks of boxes on the solution."""
DISTRACTOR_LOCKS = LOCKS + NUM_COLOURS
"""The first of 20 locks of boxes off the solution. They look like the others."""
NUM_CELLS = DISTRACTOR_LOCKS + NUM_COLOURS
"""How many different things a cell of the board can hold."""

FAILED_TRIES = 200
"""Tries to place an object that may fail before a level is drawn anew."""
LAYOUTS = 200
"""Levels drawn before settings are taken for such that do not fit."""
SMALLEST_GRID, LARGEST_GRID = 5, 64


class Ranges(NamedTuple):
    """What the levels of a game are drawn from, all bounds included."""

    solution_least: int
    """boxes to open, the gem's among them"""
    solution_most: int
    distractors_least: int
    """forward distractors: branches off the solution"""
    distractors_most: int
    backward_least: int
    """backward distractors: boxes that hold a key of the solution behind a lock without a key"""
    backward_most: int
    distractor_length: int
    """boxes of a forward distractor"""

    @property
    def largest(self) -> "Ranges":
        """The ranges of the levels with the most objects."""
        most = (self.solution_most, self.distractors_most, self.backward_most)
        return Ranges(most[0], most[0], most[1], most[1], most[2], most[2], self.distractor_length)

    @property
    def most_objects(self) -> int:
        """Boxes of the largest level, and its loose key."""
        return 1 + self.solution_most + self.distractors_most * self.distractor_length + self.backward_most


def room_for(grid_size: int) -> int:
    """The most objects, a loose key and boxes, that a room can hold without any two touching.

    The left cell of an object may lie in ``grid_size - 4`` columns and ``grid_size - 2`` rows. In each three columns of
    two rows there is room for one; the loose key, a cell shorter than a box, lets one more box in where the columns
    divide by three.
    """
    columns, rows = grid_size - 4, grid_size - 2
    return -(-columns // 3) * -(-rows // 2) + (columns % 3 == 0)


@kernel
def _within(game: Record, least: int, most: int) -> int:
    """A random integer, both bounds included."""
    return int(least + below(game.stream, most - least + 1))


@kernel
def _has_room(board: np.ndarray, row: int, column: int) -> bool:
    """Whether a box whose left cell is ``row, column`` would touch nothing."""
    for r in range(row - 1, row + 2):
        for c in range(column - 1, column + 3):
            if board[r, c] != EMPTY:
                return False
    return True


@kernel
def _place(game: Record, content: int, lock: int, tries: int) -> int:
    """Put down a box, or a loose key where ``lock`` is EMPTY, and return the tries left: below 0, there was no place.

    Nothing is put down if there are none left before.
    """
    board = game.board
    side = board.shape[0]
    while tries >= 0:
        row, column = _within(game, 2, side - 3), _within(game, 1, side - 5)
        if _has_room(board, row, column):
            board[row, column] = content
            board[row, column + 1] = lock
            return tries
        tries -= 1
    return tries


@kernel
def _place_agent(game: Record, tries: int) -> int:
    """Put the agent on an empty cell and return the tries left, as ``_place`` does."""
    side = game.board.shape[0]
    while tries >= 0:
        row, column = _within(game, 2, side - 3), _within(game, 1, side - 3)
        if game.board[row, column] == EMPTY:
            game.agent_row = row
            game.agent_column = column
            return tries
        tries -= 1
    return tries


@kernel
def _lay_out(game: Record, ranges: Ranges) -> bool:
    """Draw one level and try to lay it out; whether that succeeded."""
    game.board[1:-1, 1:-1] = EMPTY
    colour: np.ndarray = np.arange(-1, NUM_COLOURS)  # of each abstract key, counted from 1
    for key in range(NUM_COLOURS, 1, -1):
        other = _within(game, 1, key)
        colour[key], colour[other] = colour[other], colour[key]

    length = _within(game, ranges.solution_least, ranges.solution_most)
    game.solution_length = length
    tries = _place(game, KEYS + colour[1], EMPTY, FAILED_TRIES)
    for lock in range(1, length + 1):
        content = KEYS + colour[lock + 1] if lock < length else GEM
        tries = _place(game, content, LOCKS + colour[lock], tries)

    # The keys that the solution does not use are length + 1 .. last: the last of the 20 is never drawn.
    last = NUM_COLOURS - 1
    for _ in range(_within(game, ranges.distractors_least, ranges.distractors_most)):
        lock = _within(game, 1, length)
        for _ in range(ranges.distractor_length):
            if lock <= length:
                key = _within(game, length + 1, last)
            else:  # any but the box's own
                key = _within(game, length + 1, last - 1)
                if key >= lock:
                    key += 1
            tries = _place(game, KEYS + colour[key], DISTRACTOR_LOCKS + colour[lock], tries)
            lock = key
    for _ in range(_within(game, ranges.backward_least, ranges.backward_most)):
        key, lock = _within(game, 1, length), _within(game, length + 1, last)
        tries = _place(game, KEYS + colour[key], DISTRACTOR_LOCKS + colour[lock], tries)
    return _place_agent(game, tries) >= 0


@kernel
def fits(game: Record, ranges: Ranges) -> bool:
    """Whether one of 200 levels drawn from ``ranges`` could be laid out."""
    failed = 0
    while failed < LAYOUTS and not _lay_out(game, ranges):
        failed += 1
    return failed < LAYOUTS


@kernel
def start_level(game: Record, ranges: Ranges) -> None:
    """Lay out a level drawn from ``ranges``, which must fit the board."""
    while not _lay_out(game, ranges):
        pass


def possible(board: np.ndarray) -> np.ndarray:
    """Whether play can lead to each of ``board`` (uint8 [B, side, side]) from some level of its size: bool [B].

    A board in play is a level that has lost locks and contents. An empty room is possible too.
    """
    side = board.shape[1]
    room, places = np.zeros((2, side, side), np.bool_)
    room[1:-1, 1:-1] = True
    places[2 : side - 2, 2 : side - 4] = True  # where the left cell of an object can lie
    things, locks = board >= GEM, board >= LOCKS
    contents, right_locks = things & ~locks, locks & (board < DISTRACTOR_LOCKS)

    def beside(cells: np.ndarray) -> np.ndarray:
        """At each cell, what ``cells`` has to the right of it."""
        return np.roll(cells, -1, axis=2)

    sound = ((board == WALL) != room) & (board < NUM_CELLS) & (places | ~contents)
    sound &= ~locks | np.roll(contents, 1, axis=2)  # to the left of a lock is a content
    sound &= ~(things & beside(contents)) & ~(locks & beside(locks))
    for shift in (-1, 0, 1):
        sound &= ~(things & np.roll(things, (-1, shift), axis=(1, 2)))
    sound &= (board != GEM) | ~(beside(locks) & ~beside(right_locks))

    held_by_boxes = _counts(np.where(beside(right_locks), board, EMPTY))  # of the solution
    counts = _counts(board)
    right = counts[:, LOCKS:DISTRACTOR_LOCKS]
    chain = (right <= 1) & (held_by_boxes[:, KEYS:LOCKS] <= right)
    gem = (held_by_boxes[:, GEM] == right.any(axis=1)) & (counts[:, GEM] <= 1)
    return sound.all(axis=(1, 2)) & chain.all(axis=1) & gem


def _counts(cells: np.ndarray) -> np.ndarray:
    """How often each value occurs in each of ``cells`` (uint8 [B, side, side]): int64 [B, 256]."""
    games = cells.shape[0]
    values = cells + 256 * np.arange(games)[:, None, None]
    return np.bincount(values.ravel(), minlength=256 * games).reshape(games, 256)
