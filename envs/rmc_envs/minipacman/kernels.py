"""The rules of Mini Pacman, once, for a batch of games.

``STATE`` is the record of one game; the functions work on one record, ``begin``, ``draw`` and ``step`` on an array of
them. ``step`` plays one action of every game and draws what it shows; the scalar and the vector environment both call
it. The rules are those of the PillEater code (Racanière; the implementation behind Weber et al. 2017). Where that code
leaves a heading undefined at a level's start, a ghost here heads for a random exit of its cell, and where a level ends
by its timer the new level is shown.
"""

import numpy as np

from rmc_envs.batch import Outputs, Record, settle
from rmc_envs.compiling import kernel
from rmc_envs.minipacman.maze import (
    CELL_COLUMN,
    CELL_ROW,
    COLUMNS,
    DIRECTION_COLUMN,
    DIRECTION_ROW,
    DIRECTION_STEP,
    EMPTY,
    EXITS,
    FOOD,
    FULL_GROUND,
    NUM_CELLS,
    NUM_EXITS,
    OPEN_CELLS,
    ROWS,
    STRIDE,
    WALL,
)
from rmc_envs.minipacman.tasks import NO_TIME_LIMIT, Task
from rmc_envs.random_stream import STREAM_WORDS, below, uniform

NUM_ACTIONS = 5
NUM_PILLS = 2
POWER_STEPS = 20
"""Power after a pill; it falls by one at the start of each later step."""
MAX_GHOSTS = 128
"""Ghosts a level can hold: the rules' number up to level 256, far beyond what 3000 steps can reach; then no more."""
LARGEST_LEVEL = 1000
"""An episode may begin with this level; what it reaches from there stays far within an int32."""
WHIM = 0.05
"""How often a hunting ghost takes a random turn at a junction."""
CLEARANCE = 5
"""Ghosts start outside rows [r - 5, r + 5) and columns [c - 5, c + 5) around pacman."""
GONE = -1
"""The cell of an eaten pill."""

VIEW = 5
"""Side of the viewport."""

PACMAN_COLOUR = (0, 255, 0)
PILL_COLOUR = (0, 255, 255)
GROUND_COLOURS = np.array([[0, 0, 0], [0, 0, 255], [255, 255, 255], [255, 255, 255]], np.uint8)
"""RGB of empty, food, wall and outside; the last row matters to the viewport only and is an option there."""
PLANES = ("walls", "food", "pacman", "hunting ghosts", "frightened ghosts", "pills")
"""The channels of the observation by planes."""
GHOST_GREEN = np.rint(255 * np.arange(POWER_STEPS + 1) / POWER_STEPS).astype(np.uint8)
"""A ghost is (1, power/20, 0): red while it hunts, yellow right after a pill, fading back."""


STATE = np.dtype(
    [
        ("stream", np.uint64, STREAM_WORDS),  # random stream
        ("ground", np.uint8, NUM_CELLS),  # empty, food, wall or outside
        ("food_left", np.int16),
        ("pacman", np.int16),  # cell
        ("pacman_heading", np.int16),  # last direction tried; only the renderer looks at it
        ("pills", np.int16, NUM_PILLS),  # cells, GONE when eaten
        ("num_ghosts", np.int16),  # ghosts alive
        ("ghosts", np.int16, MAX_GHOSTS),  # cells of the ghosts alive, in their order of moving; the rest is not used
        ("ghost_headings", np.int16, MAX_GHOSTS),  # directions
        ("power", np.int16),  # 0 .. POWER_STEPS
        ("level", np.int32),  # counted from 1
        ("timer", np.int32),  # steps of this level
        ("frame", np.int32),  # steps of this episode
        ("score", np.float64),  # return of this episode
    ],
    align=True,
)
"""One game. Cells are those of ``maze.py``."""


def new_state(num_games: int) -> np.ndarray:
    """``num_games`` games that have not begun: pacman and the ghosts stand on the first open cell."""
    state = np.zeros(num_games, STATE)
    state["ground"] = FULL_GROUND
    state["food_left"] = OPEN_CELLS.size
    state["pacman"] = OPEN_CELLS[0]
    state["pills"] = GONE
    state["ghosts"] = OPEN_CELLS[0]
    state["level"] = 1
    return state


@kernel
def _random_open_cell(game: Record) -> int:
    return OPEN_CELLS[below(game.stream, OPEN_CELLS.size)]


@kernel
def _random_exit(game: Record, cell: int, excluded: int) -> int:
    """A direction uniform over the exits of ``cell``, leaving out ``excluded`` (-1 for none)."""
    choices = NUM_EXITS[cell] - (excluded >= 0 and EXITS[cell, excluded])
    chosen = below(game.stream, choices)
    for direction in range(4):
        if EXITS[cell, direction] and direction != excluded:
            if chosen == 0:
                return direction
            chosen -= 1
    return 0  # not reached: there are ``choices`` directions


@kernel
def start_level(game: Record, level: int) -> None:
    """Lay out a level: food everywhere, two pills, pacman, and the level's ghosts at a distance from it."""
    game.level = level
    game.timer = 0
    game.power = 0
    game.food_left = OPEN_CELLS.size
    for cell in range(NUM_CELLS):
        game.ground[cell] = FULL_GROUND[cell]
    for pill in range(NUM_PILLS):
        game.pills[pill] = _random_open_cell(game)
    pacman = _random_open_cell(game)
    game.pacman = pacman
    game.pacman_heading = 0
    num_ghosts = min(1 + (level - 1) // 2, MAX_GHOSTS)
    game.num_ghosts = num_ghosts
    for ghost in range(num_ghosts):
        cell = _random_open_cell(game)
        while (
            -CLEARANCE <= CELL_ROW[cell] - CELL_ROW[pacman] < CLEARANCE
            and -CLEARANCE <= CELL_COLUMN[cell] - CELL_COLUMN[pacman] < CLEARANCE
        ):
            cell = _random_open_cell(game)
        game.ghosts[ghost] = cell
        game.ghost_headings[ghost] = _random_exit(game, cell, -1)


@kernel
def start_episode(game: Record, task: Task) -> None:
    """Begin an episode at the task's first level; the game's random stream goes on."""
    game.frame = 0
    game.score = 0.0
    start_level(game, task.first_level)


@kernel
def ghost_turn(game: Record, cell: int, heading: int) -> int:
    """The direction in which a ghost on ``cell`` moves: straight on in corridors, a choice at junctions."""
    reverse = heading ^ 2
    if NUM_EXITS[cell] == 2:
        if EXITS[cell, heading]:
            return heading
        for direction in range(4):
            if EXITS[cell, direction] and direction != reverse:
                return direction
    if cell == game.pacman:
        return heading  # it has just caught pacman, and there is no way to go by
    hunting = game.power == 0
    if hunting and uniform(game.stream) < WHIM:
        return _random_exit(game, cell, reverse)
    # The score is the cosine with the way to pacman; its length is common to all directions and left out.
    row_offset = CELL_ROW[game.pacman] - CELL_ROW[cell]
    column_offset = CELL_COLUMN[game.pacman] - CELL_COLUMN[cell]
    best, best_score = -1, 0
    for direction in range(4):
        if EXITS[cell, direction] and direction != reverse:
            score = DIRECTION_ROW[direction] * row_offset + DIRECTION_COLUMN[direction] * column_offset
            if not hunting:
                score = -score
            if best < 0 or score > best_score:
                best, best_score = direction, score
    return best


@kernel
def _remove_ghost(game: Record, ghost: int) -> None:
    """Take one ghost away; those after it move up, so that the order of moving stays."""
    game.num_ghosts -= 1
    for later in range(ghost, game.num_ghosts):
        game.ghosts[later] = game.ghosts[later + 1]
        game.ghost_headings[later] = game.ghost_headings[later + 1]


@kernel
def _move_pacman(game: Record, task: Task, action: int) -> float:
    """Move pacman, eat what lies there, and return the reward for it. A cleared level gives way to the next at once."""
    cell = game.pacman
    if action > 0:
        game.pacman_heading = action - 1
        target = cell + DIRECTION_STEP[action - 1]
        if FULL_GROUND[target] != WALL:
            cell = target
            game.pacman = cell
    reward = 0.0
    if game.ground[cell] == FOOD:
        game.ground[cell] = EMPTY
        game.food_left -= 1
        reward += task.food
    pills_left = 0
    eaten = False
    for pill in range(NUM_PILLS):
        if game.pills[pill] == cell and not eaten:
            game.pills[pill] = GONE
            game.power = POWER_STEPS
            reward += task.pill
            eaten = True
        elif game.pills[pill] != GONE:
            pills_left += 1
    if (task.cleared_by_food and game.food_left == 0) or (task.cleared_by_pills and pills_left == 0):
        start_level(game, game.level + 1)
    return reward


@kernel
def _move_pacman_twice(game: Record, task: Task, action: int) -> float:
    """``_move_pacman``, and once more in the same direction if there is a way and the level goes on."""
    level, cell = game.level, game.pacman
    reward = _move_pacman(game, task, action)
    if game.level == level and game.pacman != cell and FULL_GROUND[game.pacman + DIRECTION_STEP[action - 1]] != WALL:
        reward += _move_pacman(game, task, action)
    return reward


@kernel
def _move_ghosts(game: Record, task: Task) -> tuple[float, bool]:
    """Let every ghost in turn meet pacman and move; return the reward and whether pacman died.

    A ghost meets pacman where it stands before its move and where it stands after it. At most one ghost is eaten in a
    step: the ghosts after it do not move. A death stops nothing, so it can be paid for more than once: by
    another ghost, or by the same one when it would move on but faces a wall. (The original's mean returns at random
    play are reached with this only; see ``random_policy.py``.)
    """
    reward = 0.0
    dead = False
    powered = game.power > 0
    speed = 0.5 + 0.1 * (game.level - 1)
    if powered:
        speed *= 0.5
    for ghost in range(game.num_ghosts):
        met = game.ghosts[ghost] == game.pacman
        if met and not powered:
            reward += task.death
            dead = True
        if not (met and powered) and uniform(game.stream) < speed:
            cell = game.ghosts[ghost]
            heading = ghost_turn(game, cell, game.ghost_headings[ghost])
            game.ghost_headings[ghost] = heading
            if EXITS[cell, heading]:
                game.ghosts[ghost] = cell + DIRECTION_STEP[heading]
            met = game.ghosts[ghost] == game.pacman
            if met and not powered:
                reward += task.death
                dead = True
        if met and powered:
            reward += task.ghost
            _remove_ghost(game, ghost)
            if task.cleared_by_ghosts and game.num_ghosts == 0:
                start_level(game, game.level + 1)
            break
    return reward, dead


@kernel
def play(game: Record, task: Task, max_steps: int, action: int) -> tuple[float, bool, bool]:
    """One step of one game: its reward, whether pacman died, whether the episode ran into ``max_steps`` instead."""
    game.frame += 1
    game.timer += 1
    if game.power > 0:
        game.power -= 1
    if task.fast_pacman and game.power > 0:
        reward = task.step + _move_pacman_twice(game, task, action)
    else:
        reward = task.step + _move_pacman(game, task, action)
    ghosts_reward, dead = _move_ghosts(game, task)
    reward += ghosts_reward
    game.score += reward
    if not dead and task.time_limit != NO_TIME_LIMIT and game.timer >= task.time_limit:
        start_level(game, game.level + 1)
    return reward, dead, not dead and game.frame >= max_steps


@kernel
def _paint(picture: np.ndarray, row: int, column: int, colour: tuple[int, int, int]) -> None:
    picture[row, column, 0], picture[row, column, 1], picture[row, column, 2] = colour


@kernel
def draw_game(game: Record, colours: np.ndarray, top: int, left: int, picture: np.ndarray) -> None:
    """Draw the part of the maze that begins at row ``top``, column ``left`` and has the size of ``picture [h, w, 3]``.

    Priority: pacman, ghost, pill, food, wall, empty. At most one ring outside the maze can be drawn.
    """
    height, width = picture.shape[0], picture.shape[1]
    for row in range(height):
        first = (top + row + 1) * STRIDE + left + 1
        for column in range(width):
            ground = game.ground[first + column]
            picture[row, column, 0] = colours[ground, 0]
            picture[row, column, 1] = colours[ground, 1]
            picture[row, column, 2] = colours[ground, 2]
    for pill in range(NUM_PILLS):
        cell = game.pills[pill]
        if cell != GONE:
            row, column = CELL_ROW[cell] - top, CELL_COLUMN[cell] - left
            if 0 <= row < height and 0 <= column < width:
                _paint(picture, row, column, PILL_COLOUR)
    ghost_colour = (255, GHOST_GREEN[game.power], 0)
    for ghost in range(game.num_ghosts):
        cell = game.ghosts[ghost]
        row, column = CELL_ROW[cell] - top, CELL_COLUMN[cell] - left
        if 0 <= row < height and 0 <= column < width:
            _paint(picture, row, column, ghost_colour)
    pacman = game.pacman
    _paint(picture, CELL_ROW[pacman] - top, CELL_COLUMN[pacman] - left, PACMAN_COLOUR)


@kernel
def draw_planes(game: Record, colours: np.ndarray, top: int, left: int, planes: np.ndarray) -> None:
    """As ``draw_game``, but each kind of thing in a plane of its own (``PLANES``): ``planes [h, w, 6]``, 0 or 255.

    Nothing hides anything. How much power is left divides a ghost between the fourth plane and the fifth.
    """
    height, width = planes.shape[0], planes.shape[1]
    planes[:] = 0
    for row in range(height):
        first = (top + row + 1) * STRIDE + left + 1
        for column in range(width):
            ground = game.ground[first + column]
            if ground == FOOD:
                planes[row, column, 1] = 255
            elif ground != EMPTY:
                planes[row, column, 0] = colours[ground, 0]  # wall, or a ring outside that looks like it
    planes[CELL_ROW[game.pacman] - top, CELL_COLUMN[game.pacman] - left, 2] = 255
    for ghost in range(game.num_ghosts):
        cell = game.ghosts[ghost]
        row, column = CELL_ROW[cell] - top, CELL_COLUMN[cell] - left
        if 0 <= row < height and 0 <= column < width:
            planes[row, column, 3] = 255 - GHOST_GREEN[game.power]
            planes[row, column, 4] = GHOST_GREEN[game.power]
    for pill in range(NUM_PILLS):
        cell = game.pills[pill]
        if cell != GONE:
            row, column = CELL_ROW[cell] - top, CELL_COLUMN[cell] - left
            if 0 <= row < height and 0 <= column < width:
                planes[row, column, 5] = 255


@kernel
def observe(game: Record, colours: np.ndarray, picture: np.ndarray) -> None:
    """Fill ``picture [h, w, 3 or 6]`` with the whole maze or, if it has not its size, the window around pacman."""
    top = left = 0
    if picture.shape[0] != ROWS or picture.shape[1] != COLUMNS:
        top = CELL_ROW[game.pacman] - VIEW // 2
        left = CELL_COLUMN[game.pacman] - VIEW // 2
    if picture.shape[2] == 3:
        draw_game(game, colours, top, left, picture)
    else:
        draw_planes(game, colours, top, left, picture)


@kernel
def begin(state: np.ndarray, task: Task, mask: np.ndarray) -> None:
    """Start an episode in every game where ``mask`` (bool [B]) is set."""
    for index in range(mask.size):
        if mask[index]:
            start_episode(state[index], task)


@kernel
def draw(state: np.ndarray, colours: np.ndarray, observation: np.ndarray) -> None:
    """Draw every game's row of ``observation [B, h, w, 3]``."""
    for index in range(state.size):
        observe(state[index], colours, observation[index])


@kernel
def step(state: np.ndarray, task: Task, max_steps: int, colours: np.ndarray, outputs: Outputs) -> None:
    """Play ``outputs.action`` in every game, or start the next episode where the last one ended, and draw it."""
    for index in range(state.size):
        if outputs.needs_reset[index]:
            start_episode(state[index], task)
            settle(outputs, index, 0.0, False, False)
        else:
            reward, terminated, truncated = play(state[index], task, max_steps, outputs.action[index])
            settle(outputs, index, reward, terminated, truncated)
        observe(state[index], colours, outputs.observation[index])
