"""What levels are drawn, against counting and against a slow generator written from the description of the levels.

Abstract keys are 1 .. 20 as in ``levels.py``: the loose key is 1, the box locked by i holds i + 1.
"""

from itertools import combinations, pairwise
from random import Random
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

from rmc_envs.boxworld import levels
from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, EMPTY, GEM, KEYS, LOCKS, NUM_CELLS, NUM_COLOURS, WALL

Cell = tuple[int, int]
TREASURE = -1
"""What the box with the gem holds, where others hold a colour."""


class Box(NamedTuple):
    cell: Cell
    """of the content, the left one"""
    lock: int
    """colour"""
    content: int
    """colour, or TREASURE"""


class Level(NamedTuple):
    loose: Cell
    loose_colour: int
    solution: list[Box]
    """in the order of opening"""
    distractors: list[Box]
    agent: Cell

    def colours(self) -> list[int]:
        """Of the solution's keys, in their order."""
        return [box.lock for box in self.solution]


def boards(games: int, **options: Any) -> dict[str, np.ndarray]:
    envs: Any = gymnasium.make_vec("rmc/BoxWorld-v0", num_envs=games, **options)
    envs.reset(seed=2019)
    return envs.get_state()


def read(board: np.ndarray, agent: Cell) -> Level:
    """A level from its board. What is not as it must be makes this fail."""
    loose, solution, distractors = [], {}, []
    for row, column in np.argwhere(board >= GEM).tolist():
        value, right = int(board[row, column]), int(board[row, column + 1])
        if value >= LOCKS:
            assert GEM <= board[row, column - 1] < LOCKS
        elif right == EMPTY:
            loose.append(((row, column), value - KEYS))
        else:
            box = Box((row, column), (right - LOCKS) % NUM_COLOURS, TREASURE if value == GEM else value - KEYS)
            if right < DISTRACTOR_LOCKS:
                assert box.lock not in solution
                solution[box.lock] = box
            else:
                assert box.content != TREASURE
                distractors.append(box)
    ((cell, colour),) = loose
    chain = [solution.pop(colour)]
    while chain[-1].content != TREASURE:
        chain.append(solution.pop(chain[-1].content))
    assert not solution
    return Level(cell, colour, chain, distractors, agent)


def sample(games: int, **options: Any) -> list[Level]:
    state = boards(games, **options)
    agents = zip(state["agent_row"].tolist(), state["agent_column"].tolist(), strict=True)
    found = [read(board, agent) for board, agent in zip(state["board"], agents, strict=True)]
    assert state["solution_length"].tolist() == [len(level.solution) for level in found]
    return found


def assert_drawn_from(counts: Any, expected: Any) -> None:
    """The chi-square statistic is within four standard deviations of its mean."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    assert counts.shape == expected.shape
    assert counts.sum() == pytest.approx(expected.sum())
    assert expected.min() > 4
    assert abs(((counts - expected) ** 2 / expected).sum() - (counts.size - 1)) < 4 * np.sqrt(2 * (counts.size - 1))


def assert_same_source(counts: Any, others: Any) -> None:
    """Two samples of the same size: the chi-square statistic of their difference, over what occurs often enough."""
    counts, others = np.asarray(counts, float), np.asarray(others, float)
    assert counts.shape == others.shape
    assert counts.sum() == others.sum()
    often = counts + others >= 10
    counts, others = (np.append(array[often], array[~often].sum()) for array in (counts, others))
    if counts[-1] + others[-1] < 10:
        counts, others = counts[:-1], others[:-1]
    statistic = ((counts - others) ** 2 / (counts + others)).sum()
    assert abs(statistic - (counts.size - 1)) < 4 * np.sqrt(2 * (counts.size - 1))


def uniform(counts: Any) -> np.ndarray:
    return np.full(np.shape(counts), np.sum(counts) / np.size(counts))


KEY_CELLS = [(row, column) for row in range(2, 12) for column in range(2, 10)]
"""Where the left cell of an object can lie in the 12x12 room, with nothing else there."""


def around(cell: Cell) -> set[Cell]:
    """The cells that must be empty for an object there."""
    return {(cell[0] + down, cell[1] + right) for down in (-1, 0, 1) for right in (-1, 0, 1, 2)}


def test_numbers_of_boxes_are_uniform_over_their_ranges() -> None:
    """Seven objects always fit, so no level is drawn anew. Backward distractors begin with a lock off the solution."""
    counts = np.zeros((3, 3, 2), int)
    ranges = {"solution_length": (1, 3), "num_distractors": (1, 3), "num_backward_distractors": (0, 1)}
    for level in sample(9000, **ranges):
        backward = sum(box.lock not in level.colours() for box in level.distractors)
        counts[len(level.solution) - 1, len(level.distractors) - backward - 1, backward] += 1
    assert_drawn_from(counts, uniform(counts))


def test_ranges_of_one_value() -> None:
    options = {"solution_length": (3, 3), "num_distractors": (2, 2), "num_backward_distractors": (1, 1)}
    for level in sample(200, **options):
        assert (len(level.solution), len(level.distractors)) == (3, 3)


def test_colours_of_the_solution_are_uniform() -> None:
    counts = np.zeros((NUM_COLOURS, NUM_COLOURS), int)
    for level in sample(20_000, solution_length=(2, 2), num_distractors=(0, 0)):
        counts[tuple(level.colours())] += 1
    assert (np.diag(counts) == 0).all()
    pairs = counts[~np.eye(NUM_COLOURS, dtype=bool)]
    assert_drawn_from(pairs, uniform(pairs))


def test_a_solution_of_all_colours() -> None:
    for level in sample(20, grid_size=20, solution_length=(20, 20), num_distractors=(0, 0)):
        assert sorted(level.colours()) == list(range(NUM_COLOURS))


def test_distractors_start_anywhere_on_the_solution_and_lead_off_it() -> None:
    roots, contents = np.zeros(3, int), np.zeros(NUM_COLOURS, int)
    for level in sample(6000, solution_length=(3, 3), num_distractors=(1, 1)):
        (box,) = level.distractors
        roots[level.colours().index(box.lock)] += 1
        assert box.content not in level.colours()
        contents[box.content] += 1
    assert_drawn_from(roots, uniform(roots))
    assert_drawn_from(contents, uniform(contents))


MANY = {"grid_size": 20, "solution_length": (15, 15)}
"""Leaves the keys 16 to 19 to distractors: they coincide often, and the 20th, if it were drawn, would show."""


def test_distractors_choose_their_keys_independently() -> None:
    counts = np.zeros((2, 2), int)
    for level in sample(8000, **MANY, num_distractors=(2, 2)):
        first, second = level.distractors
        counts[int(first.content == second.content), int(first.lock == second.lock)] += 1
    assert_drawn_from(counts, 8000 * np.outer([3 / 4, 1 / 4], [14 / 15, 1 / 15]))


def test_longer_branches_go_on_with_their_own_key() -> None:
    """Keys k1, k2, k3 of a branch: each is another than its box's lock, uniform over the other three."""
    returns = 0
    for level in sample(3000, **MANY, num_distractors=(1, 1), distractor_length=3):
        (root,) = [box for box in level.distractors if box.lock in level.colours()]
        rest = [box for box in level.distractors if box != root]
        (second,) = [box for box in rest if box.lock == root.content]
        (third,) = [box for box in rest if box is not second]
        assert third.lock == second.content
        keys = [root.content, second.content, third.content]
        assert all(key not in level.colours() for key in keys)
        assert keys[0] != keys[1] != keys[2]
        returns += keys[2] == keys[0]
    assert_drawn_from([returns, 3000 - returns], [1000, 2000])


def test_backward_distractors_hold_keys_of_the_solution() -> None:
    contents, coincide = np.zeros(15, int), 0
    for level in sample(4000, **MANY, num_distractors=(0, 0), num_backward_distractors=(2, 2)):
        for box in level.distractors:
            assert box.lock not in level.colours()
            contents[level.colours().index(box.content)] += 1
        coincide += level.distractors[0].lock == level.distractors[1].lock
    assert_drawn_from(contents, uniform(contents))
    assert_drawn_from([coincide, 4000 - coincide], [1000, 3000])


def test_places_of_the_first_objects() -> None:
    """The loose key is uniform over all cells that take it, and the box over those it leaves."""
    games = 20_000
    loose, box = np.zeros(len(KEY_CELLS), int), np.zeros(len(KEY_CELLS), int)
    expected = np.zeros(len(KEY_CELLS))
    for level in sample(games, solution_length=(1, 1), num_distractors=(0, 0)):
        loose[KEY_CELLS.index(level.loose)] += 1
        box[KEY_CELLS.index(level.solution[0].cell)] += 1
    for first in KEY_CELLS:
        free = [index for index, cell in enumerate(KEY_CELLS) if first not in around(cell)]
        expected[free] += games / len(KEY_CELLS) / len(free)
    assert_drawn_from(loose, uniform(loose))
    assert_drawn_from(box, expected)
    assert np.ptp(expected) > 0.1 * expected.mean()  # the box is not uniform, and that can be told


def test_place_of_the_agent() -> None:
    """Uniform over the empty cells but for the room's top row and last column."""
    counts = np.zeros(11 * 10 - 3, int)
    for level in sample(20_000, solution_length=(1, 1), num_distractors=(0, 0)):
        row, column = level.solution[0].cell
        taken = {level.loose, (row, column), (row, column + 1)}
        cells = [(r, c) for r in range(2, 12) for c in range(1, 12) if (r, c) not in taken]
        counts[cells.index(level.agent)] += 1
    assert_drawn_from(counts, uniform(counts))


def bits(cells: set[Cell]) -> int:
    """A set of cells of the 14x14 board as the bits of a number."""
    return sum(1 << (14 * row + column) for row, column in cells)


def drawn_slowly(
    random: Random, solution: tuple[int, int], distractors: tuple[int, int]
) -> tuple[int, int, list[Cell]]:
    """The numbers of boxes and the objects' cells of a level in the 12x12 room, by the description, try by try."""
    wall = bits({(row, column) for row in range(14) for column in range(14) if {row, column} & {0, 13}})
    needed = {(row, column): bits(around((row, column))) for row in range(2, 12) for column in range(1, 10)}
    while True:
        length, branches = random.randint(*solution), random.randint(*distractors)
        filled, failed = wall, 0
        cells: list[Cell] = []
        while len(cells) < 1 + length + branches and failed <= 200:
            cell = random.randint(2, 11), random.randint(1, 9)
            if needed[cell] & filled:
                failed += 1
                continue
            filled |= bits({cell, (cell[0], cell[1] + 1)} if cells else {cell})
            cells.append(cell)
        placed = False
        while not placed and failed <= 200:
            placed = not filled & bits({(random.randint(2, 11), random.randint(1, 11))})
            failed += not placed
        if placed:
            return length, branches, cells


@pytest.mark.parametrize(
    ("solution", "distractors", "games", "crowded"),
    [((1, 4), (0, 4), 5000, False), ((1, 5), (0, 5), 5000, True), ((5, 7), (5, 7), 8000, True)],
)
def test_crowded_levels_are_as_rare_as_tries_make_them(
    solution: tuple[int, int], distractors: tuple[int, int], games: int, crowded: bool
) -> None:
    """Levels that do not fit are drawn anew as a whole, so the numbers are not uniform where space is short."""
    random = Random(7)
    size = solution[1] + 1, distractors[1] + 1
    ours, slow = np.zeros((2, *size), int)
    our_cells, slow_cells = np.zeros((2, 14, 14), int)
    for level in sample(games, solution_length=solution, num_distractors=distractors):
        ours[len(level.solution), len(level.distractors)] += 1
        for cell in (level.loose, *(box.cell for box in level.solution + level.distractors)):
            our_cells[cell] += 1
    for _ in range(games):
        length, branches, cells = drawn_slowly(random, solution, distractors)
        slow[length, branches] += 1
        for cell in cells:
            slow_cells[cell] += 1
    assert_same_source(ours, slow)
    boxes = np.add.outer(np.arange(size[0]), np.arange(size[1]))
    assert_same_source(np.bincount(boxes.ravel(), ours.ravel()), np.bincount(boxes.ravel(), slow.ravel()))
    if crowded:
        assert ours[-1, -1] < 0.97 * ours[solution[0], distractors[0]]
    # A level has one object in a cell or none, so the difference of two counts varies by no more than their sum.
    room = slice(2, 12), slice(2, 10)
    assert our_cells[room].sum() == our_cells.sum()
    assert slow_cells[room].sum() == slow_cells.sum()
    assert (np.abs(our_cells - slow_cells)[room] < 4 * np.sqrt((our_cells + slow_cells)[room])).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solution_length": (1, 5), "num_distractors": (0, 5)},
        {"num_distractors": (0, 2), "num_backward_distractors": (0, 2), "distractor_length": 2},
        {"grid_size": 5, "solution_length": (1, 1), "num_distractors": (0, 0)},
        {"grid_size": 20, "solution_length": (8, 15), "num_distractors": (0, 8)},
    ],
)
def test_nothing_touches_anything(options: dict[str, Any]) -> None:
    state = boards(1000, **options)
    for board, row, column in zip(state["board"], state["agent_row"], state["agent_column"], strict=True):
        last = board.shape[0] - 1
        assert board[row, column] == EMPTY
        level = read(board, (int(row), int(column)))
        objects = [{level.loose}]
        objects += [{box.cell, (box.cell[0], box.cell[1] + 1)} for box in level.solution + level.distractors]
        objects.append({(r, c) for r in range(last + 1) for c in range(last + 1) if {r, c} & {0, last}})
        for cells, others in combinations(objects, 2):
            assert all(max(abs(r - other_r), abs(c - other_c)) > 1 for r, c in cells for other_r, other_c in others)


def most_objects(grid_size: int) -> int:
    """The most objects in a room by trying: a loose key anywhere, then boxes row by row, best set of each row."""
    rows, columns = range(2, grid_size), range(2, grid_size - 2)
    side = grid_size - 4
    best = 0
    for loose in [(row, column) for row in rows for column in columns]:
        reached = {0: 0}  # the columns of the boxes in the row before, as bits, and the most boxes so far
        for row in rows:
            following: dict[int, int] = {}
            for chosen in range(1 << side):
                places = [column + 2 for column in range(side) if chosen >> column & 1]
                cells = [around((row, column)) for column in places]
                if any(after - before < 3 for before, after in pairwise(places)) or any(loose in c for c in cells):
                    continue
                for before, number in reached.items():
                    above = [column + 2 for column in range(side) if before >> column & 1]
                    if all(abs(column - other) > 2 for column in places for other in above):
                        following[chosen] = max(following.get(chosen, 0), number + len(places))
            reached = following
        best = max(best, 1 + max(reached.values()))
    return best


@pytest.mark.parametrize("grid_size", range(5, 12))
def test_room_for_counts_the_most_objects(grid_size: int) -> None:
    assert levels.room_for(grid_size) == most_objects(grid_size)


def changed(cells: dict[Cell, int]) -> np.ndarray:
    """Whether a board with these objects in an otherwise empty 8x8 room is possible."""
    board = np.full((1, 10, 10), WALL, np.uint8)
    board[0, 1:-1, 1:-1] = EMPTY
    for cell, value in cells.items():
        board[0, *cell] = value
    return levels.possible(board)


A, B, C = range(3)


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {(2, 2): GEM},
        {(2, 2): KEYS + A, (5, 5): KEYS + A},
        {(2, 2): GEM, (2, 3): LOCKS + A},
        {(2, 2): KEYS + A, (5, 5): GEM, (5, 6): LOCKS + A},
        {(2, 2): KEYS + A, (2, 3): LOCKS + B, (4, 2): GEM, (4, 3): LOCKS + A},
        {(2, 2): KEYS + A, (2, 3): DISTRACTOR_LOCKS + B, (7, 5): KEYS + A, (7, 6): DISTRACTOR_LOCKS + B},
        {(2, 2): KEYS + A, (2, 4): KEYS + B},
    ],
)
def test_possible_boards(cells: dict[Cell, int]) -> None:
    assert changed(cells).tolist() == [True]


@pytest.mark.parametrize(
    "cells",
    [
        {(0, 3): EMPTY},
        {(9, 9): KEYS},
        {(4, 4): WALL},
        {(4, 4): NUM_CELLS},
        {(4, 4): 255},
        {(1, 4): KEYS},
        {(8, 4): KEYS},
        {(4, 1): KEYS},
        {(4, 6): KEYS},
        {(4, 4): DISTRACTOR_LOCKS},
        {(4, 4): LOCKS},
        {(2, 2): KEYS, (2, 3): KEYS + 1},
        {(2, 2): KEYS, (3, 2): KEYS + 1},
        {(2, 2): KEYS, (3, 3): KEYS + 1},
        {(2, 3): KEYS, (3, 2): KEYS + 1},
        {(2, 2): KEYS, (2, 3): DISTRACTOR_LOCKS + B, (2, 4): KEYS},
        {(2, 2): KEYS, (2, 3): DISTRACTOR_LOCKS + B, (2, 4): DISTRACTOR_LOCKS + B},
        {(2, 2): KEYS, (2, 3): DISTRACTOR_LOCKS + B, (3, 4): KEYS},
        {(2, 2): GEM, (5, 5): GEM},
        {(2, 2): GEM, (2, 3): DISTRACTOR_LOCKS},
        {(2, 2): KEYS + A, (2, 3): LOCKS + B},
        {(2, 2): KEYS + A, (2, 3): LOCKS + B, (5, 5): GEM},
        {(2, 2): KEYS + C, (2, 3): LOCKS + B, (5, 5): GEM, (5, 6): LOCKS + A},
        {(2, 2): KEYS + A, (2, 3): LOCKS + A, (5, 5): GEM, (5, 6): LOCKS + A},
        {(2, 2): KEYS + A, (2, 3): LOCKS + B, (4, 2): KEYS + A, (4, 3): LOCKS + C, (6, 2): GEM, (6, 3): LOCKS + A},
    ],
)
def test_impossible_boards(cells: dict[Cell, int]) -> None:
    assert changed(cells).tolist() == [False]


def test_one_impossible_board_among_others() -> None:
    state = boards(5)
    state["board"][3, 4, 4] = WALL
    assert levels.possible(state["board"]).tolist() == [True, True, True, False, True]
