"""The rules of BoxWorld, once, for a batch of games.

``state_type`` is the record of one game; the functions work on one record, ``begin``, ``draw`` and ``step`` on an array
of them. ``step`` plays one action of every game and draws what it shows; the scalar and the vector environment both
call it. The rules are those of the authors' code (the Box-World example of pycolab, behind Zambaldi et al. 2019).
Where that code ends an episode one step after its limit, an episode here ends with step ``max_steps``.
"""

import numpy as np
from numba import njit

from rmc_envs.batch import Outputs, Record, settle
from rmc_envs.boxworld.levels import (
    DISTRACTOR_LOCKS,
    EMPTY,
    GEM,
    KEYS,
    LOCKS,
    NUM_CELLS,
    NUM_COLOURS,
    WALL,
    Ranges,
    start_level,
)
from rmc_envs.compiling import kernel
from rmc_envs.random_stream import STREAM_WORDS

NUM_ACTIONS = 4
ACTION_ROW = np.array([-1, 1, 0, 0], np.int16)
ACTION_COLUMN = np.array([0, 0, -1, 1], np.int16)
"""Up, down, left, right."""
NO_KEY = -1
"""What is held where no key is held; otherwise the key's colour."""

GEM_REWARD, BOX_REWARD, DISTRACTOR_REWARD = 10.0, 1.0, -1.0

VIEW = 5
"""Side of the viewport."""


def _scaled(colours: list[tuple[int, int, int]]) -> np.ndarray:
    """The authors' colours, 0 .. 999, as uint8."""
    return np.rint(np.array(colours) * (255 / 999)).astype(np.uint8)


PASTELS = _scaled(
    [
        *[(700, 350, 350), (700, 454, 350), (700, 559, 350), (700, 664, 350), (629, 700, 350)],
        *[(524, 700, 350), (420, 700, 350), (350, 700, 384), (350, 700, 490), (350, 700, 595)],
        *[(350, 700, 700), (350, 594, 700), (350, 490, 700), (350, 384, 700), (419, 350, 700)],
        *[(524, 350, 700), (630, 350, 700), (700, 350, 665), (700, 350, 559), (700, 350, 455)],
    ]
)
"""uint8 [20, 3]: RGB of keys and locks by colour, once round the colour wheel."""

AGENT = NUM_CELLS
"""The row of ``COLOURS`` after those of the cells."""
_PLAIN = _scaled([(800, 800, 800), (0, 0, 0), (999, 999, 999)])
COLOURS = np.concatenate([_PLAIN, PASTELS, PASTELS, PASTELS, _scaled([(500, 500, 500)])])
"""uint8 [64, 3]: RGB of whatever a cell holds, and of the agent."""


def state_type(grid_size: int) -> np.dtype:
    """The record of one game in a room of ``grid_size`` cells a side, which a wall surrounds."""
    return np.dtype(
        [
            ("stream", np.uint64, STREAM_WORDS),  # random stream
            ("board", np.uint8, (grid_size + 2, grid_size + 2)),  # what each cell holds, the agent left out
            ("agent_row", np.int16),
            ("agent_column", np.int16),
            ("heading", np.int16),  # last action; only the renderer looks at it
            ("held", np.int16),  # colour of the key held, or NO_KEY
            ("solution_length", np.int16),  # boxes the level's solution opens; only the renderer looks at it
            ("frame", np.int32),  # steps of this episode
            ("score", np.int32),  # rewards of this episode; only the renderer looks at it
        ],
        align=True,
    )


def new_state(num_games: int, grid_size: int) -> np.ndarray:
    """``num_games`` games that have not begun: the agent stands in the corner of an empty room."""
    state = np.zeros(num_games, state_type(grid_size))
    state["board"] = WALL
    state["board"][:, 1:-1, 1:-1] = EMPTY
    state["agent_row"] = state["agent_column"] = 1
    state["held"] = NO_KEY
    return state


@kernel
def start_episode(game: Record, ranges: Ranges) -> None:
    """Begin an episode on a new level; the game's random stream goes on."""
    game.frame = 0
    game.score = 0
    game.heading = 0
    game.held = NO_KEY
    start_level(game, ranges)


@kernel
def play(game: Record, max_steps: int, action: int) -> tuple[float, bool, bool]:
    """One step of one game: its reward, whether it ended the level, whether the episode ran into ``max_steps``."""
    board = game.board
    game.frame += 1
    game.heading = action
    row, column = game.agent_row + ACTION_ROW[action], game.agent_column + ACTION_COLUMN[action]
    cell = board[row, column]
    reward, moves, ended = 0.0, cell == EMPTY, False
    if cell >= LOCKS:
        if game.held == (cell - LOCKS) % NUM_COLOURS:
            moves = True
            game.held = NO_KEY
            ended = cell >= DISTRACTOR_LOCKS
            reward = DISTRACTOR_REWARD if ended else BOX_REWARD
    elif cell >= GEM and board[row, column + 1] < LOCKS:
        moves = True
        if cell == GEM:
            reward = GEM_REWARD
            ended = True
        else:
            game.held = cell - KEYS
    if moves:
        board[row, column] = EMPTY
        game.agent_row = row
        game.agent_column = column
    game.score += int(reward)
    return reward, ended, not ended and game.frame >= max_steps


@njit(inline="always")
def _paint(picture: np.ndarray, row: int, column: int, cell: int) -> None:
    picture[row, column, 0] = COLOURS[cell, 0]
    picture[row, column, 1] = COLOURS[cell, 1]
    picture[row, column, 2] = COLOURS[cell, 2]


@kernel
def draw_room(game: Record, picture: np.ndarray) -> None:
    """Draw the whole board, ``picture [side, side, 3]``, with the key held in the top left cell of the wall."""
    side = game.board.shape[0]
    for row in range(side):
        for column in range(side):
            _paint(picture, row, column, game.board[row, column])
    if game.held != NO_KEY:
        _paint(picture, 0, 0, KEYS + game.held)
    _paint(picture, game.agent_row, game.agent_column, AGENT)


@kernel
def draw_window(game: Record, picture: np.ndarray) -> None:
    """Draw the window around the agent, ``picture [5, 5, 6]``.

    The first three planes are the window's part of ``draw_room``'s picture, wall beyond its edge; the others hold
    the colour of the key held, or 0.
    """
    side = game.board.shape[0]
    top, left = game.agent_row - VIEW // 2, game.agent_column - VIEW // 2
    held = WALL if game.held == NO_KEY else KEYS + game.held
    for row in range(VIEW):
        for column in range(VIEW):
            r, c = top + row, left + column
            cell = game.board[r, c] if 0 <= r < side and 0 <= c < side else WALL
            if r == 0 and c == 0:
                cell = held
            _paint(picture, row, column, cell)
            for plane in range(3):
                picture[row, column, 3 + plane] = COLOURS[held, plane]
    _paint(picture, VIEW // 2, VIEW // 2, AGENT)


@kernel
def observe(game: Record, picture: np.ndarray) -> None:
    """Fill ``picture [h, w, 3]`` with the whole board or, if it has six planes, with the window around the agent."""
    if picture.shape[2] == 3:
        draw_room(game, picture)
    else:
        draw_window(game, picture)


@kernel
def begin(state: np.ndarray, ranges: Ranges, mask: np.ndarray) -> None:
    """Start an episode in every game where ``mask`` (bool [B]) is set."""
    for index in range(mask.size):
        if mask[index]:
            start_episode(state[index], ranges)


@kernel
def draw(state: np.ndarray, observation: np.ndarray) -> None:
    """Draw every game's row of ``observation [B, h, w, planes]``."""
    for index in range(state.size):
        observe(state[index], observation[index])


@kernel
def step(state: np.ndarray, ranges: Ranges, max_steps: int, outputs: Outputs) -> None:
    """Play ``outputs.action`` in every game, or start the next episode where the last one ended, and draw it."""
    for index in range(state.size):
        if outputs.needs_reset[index]:
            start_episode(state[index], ranges)
            settle(outputs, index, 0.0, False, False)
        else:
            reward, terminated, truncated = play(state[index], max_steps, outputs.action[index])
            settle(outputs, index, reward, terminated, truncated)
        observe(state[index], outputs.observation[index])
