import numpy as np

from rmc_envs.minipacman import maze


def test_counts_of_the_published_maze() -> None:
    exits = maze.NUM_EXITS[maze.OPEN_CELLS]
    assert (maze.ROWS, maze.COLUMNS, maze.OPEN_CELLS.size) == (15, 19, 138)
    assert np.bincount(exits).tolist() == [0, 0, 114, 16, 8]


def test_mirror_symmetric_both_ways() -> None:
    picture = np.array([list(line) for line in maze.PICTURE])
    np.testing.assert_array_equal(picture, picture[::-1])
    np.testing.assert_array_equal(picture, picture[:, ::-1])


def test_every_open_cell_can_be_reached() -> None:
    reached, edge = {int(maze.OPEN_CELLS[0])}, [int(maze.OPEN_CELLS[0])]
    while edge:
        cell = edge.pop()
        for direction in np.flatnonzero(maze.EXITS[cell]):
            neighbour = cell + int(maze.DIRECTION_STEP[direction])
            if neighbour not in reached:
                reached.add(neighbour)
                edge.append(neighbour)
    assert sorted(reached) == maze.OPEN_CELLS.tolist()


def test_cells_rows_and_columns_agree() -> None:
    for row, line in enumerate(maze.PICTURE):
        for column, letter in enumerate(line):
            cell = maze.cell_at(row, column)
            assert (maze.CELL_ROW[cell], maze.CELL_COLUMN[cell]) == (row, column)
            assert maze.FULL_GROUND[cell] == (maze.WALL if letter == "#" else maze.FOOD)
    assert (maze.FULL_GROUND == maze.OUTSIDE).sum() == 17 * 21 - 15 * 19


def test_directions_are_right_up_left_down() -> None:
    start = maze.cell_at(5, 7)
    ends = [start + int(step) for step in maze.DIRECTION_STEP]
    assert ends == [maze.cell_at(5, 8), maze.cell_at(4, 7), maze.cell_at(5, 6), maze.cell_at(6, 7)]
    np.testing.assert_array_equal(maze.DIRECTION_STEP[np.arange(4) ^ 2], -maze.DIRECTION_STEP)
