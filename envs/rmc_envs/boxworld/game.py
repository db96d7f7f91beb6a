"""BoxWorld as Gymnasium environments: options, spaces and the documentation of the game."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rmc_envs.batch import Game, Outputs, check_count
from rmc_envs.boxworld import drawing, kernels, levels
from rmc_envs.boxworld.levels import NUM_COLOURS, Ranges
from rmc_envs.faces import GameEnv, GameVectorEnv
from rmc_envs.random_stream import seed_stream

Range = Sequence[int]
"""Two integers, the least and the most."""


class BoxWorld(Game):
    """BoxWorld seen whole; the options are those of ``BoxWorldEnv``."""

    action_names = ("up", "down", "left", "right")

    def __init__(
        self,
        *,
        grid_size: int = 12,
        solution_length: Range = (1, 4),
        num_distractors: Range = (0, 4),
        num_backward_distractors: Range = (0, 0),
        distractor_length: int = 1,
        max_steps: int = 120,
    ) -> None:
        self.grid_size = check_count("grid_size", grid_size, least=levels.SMALLEST_GRID, most=levels.LARGEST_GRID)
        self.ranges = Ranges(
            *_check_range("solution_length", solution_length, least=1),
            *_check_range("num_distractors", num_distractors, least=0),
            *_check_range("num_backward_distractors", num_backward_distractors, least=0),
            check_count("distractor_length", distractor_length),
        )
        self.max_steps = check_count("max_steps", max_steps)
        _check_colours(self.ranges)
        _check_room(self.ranges, self.grid_size)
        self.observation_space = spaces.Box(0, 255, self.view_shape, np.uint8)
        self.action_space = spaces.Discrete(kernels.NUM_ACTIONS)

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """The shape of an observation."""
        return self.grid_size + 2, self.grid_size + 2, 3

    def new_state(self, num_games: int) -> np.ndarray:
        """Records for ``num_games`` games."""
        return kernels.new_state(num_games, self.grid_size)

    def begin(self, state: np.ndarray, mask: np.ndarray) -> None:
        """Start an episode where ``mask`` is set."""
        kernels.begin(state, self.ranges, mask)

    def step(self, state: np.ndarray, outputs: Outputs) -> None:
        """Play one step of every game."""
        kernels.step(state, self.ranges, self.max_steps, outputs)

    def observe(self, state: np.ndarray, observation: np.ndarray) -> None:
        """Draw every game's observation."""
        kernels.draw(state, observation)

    def impossible_fields(self, state: np.ndarray) -> list[str]:
        """Boards that no level leads to, an agent on a thing, colours that do not exist, and the like."""
        board, games = state["board"], np.arange(state.size)
        place = [state[axis].clip(0, self.grid_size + 1) for axis in ("agent_row", "agent_column")]
        stands = board[games, place[0], place[1]] == levels.EMPTY
        right_locks = (board >= levels.LOCKS) & (board < levels.DISTRACTOR_LOCKS)
        length = state["solution_length"]
        possible = {
            "board": levels.possible(board).all(),
            "agent_row": (stands & (place[0] == state["agent_row"])).all(),
            "agent_column": (stands & (place[1] == state["agent_column"])).all(),
            "heading": np.isin(state["heading"], np.arange(kernels.NUM_ACTIONS)).all(),
            "held": np.isin(state["held"], [kernels.NO_KEY, *range(NUM_COLOURS)]).all(),
            "solution_length": ((length >= right_locks.sum(axis=(1, 2))) & (length <= NUM_COLOURS)).all(),
            "frame": ((state["frame"] >= 0) & (state["frame"] <= self.max_steps)).all(),
            "score": (
                (state["score"] >= kernels.DISTRACTOR_REWARD) & (state["score"] <= length + kernels.GEM_REWARD)
            ).all(),
        }
        return [name for name, holds in possible.items() if not holds]

    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """The room, uint8 [32 * grid_size + 96, 32 * grid_size + 64, 3]."""
        return drawing.frame(state, game, self.max_steps)

    def text(self, state: np.ndarray, game: int) -> str:
        """The room in characters."""
        return drawing.text(state, game, self.max_steps)


class BoxWorldViewport(BoxWorld):
    """BoxWorld seen through a 5x5 window; the options are those of ``BoxWorldViewportEnv``."""

    def __init__(self, *, solution_length: Range = (1, 5), num_distractors: Range = (0, 5), **options: Any) -> None:
        super().__init__(solution_length=solution_length, num_distractors=num_distractors, **options)

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """The shape of an observation."""
        return kernels.VIEW, kernels.VIEW, 6

    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """The room with the viewport outlined and the rest dimmed, of the same size as without a viewport."""
        return drawing.viewport_frame(state, game, self.max_steps)

    def text(self, state: np.ndarray, game: int) -> str:
        """The room in characters, the viewport within brackets."""
        return drawing.viewport_text(state, game, self.max_steps)


def _check_range(name: str, value: Any, least: int) -> tuple[int, int]:
    """The option ``value`` as (least, most)."""
    wanted = f"{name} must be two integers (a, b), {least} <= a <= b"
    bounds = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(_is_integer(bound) for bound in bounds):
        raise TypeError(f"{wanted}, got {value!r}")
    if not least <= bounds[0] <= bounds[1]:
        raise ValueError(f"{wanted}, got {value!r}")
    return int(bounds[0]), int(bounds[1])


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_colours(ranges: Ranges) -> None:
    """Refuse levels with more keys than there are colours; the last colour is never drawn for a distractor's key."""
    spare = 0
    if ranges.distractors_most + ranges.backward_most > 0:
        spare = 2
    if ranges.distractors_most > 0 and ranges.distractor_length > 1:
        spare = 3  # a key does not lie in a box of its own colour
    most = NUM_COLOURS - spare
    if ranges.solution_most > most:
        raise ValueError(
            f"solution_length must be in 1 .. {most} with these distractors, for there are {NUM_COLOURS} colours, "
            f"got {(ranges.solution_least, ranges.solution_most)}"
        )


def _check_room(ranges: Ranges, grid_size: int) -> None:
    """Refuse levels that a room cannot hold, or that objects put down at random hardly ever fit into it."""
    objects, room = ranges.most_objects, levels.room_for(grid_size)
    parts = (
        f"solution_length up to {ranges.solution_most}, num_distractors up to {ranges.distractors_most} of "
        f"distractor_length {ranges.distractor_length} and num_backward_distractors up to {ranges.backward_most} "
        f"make {objects} objects with the loose key"
    )
    if objects > room:
        raise ValueError(f"{parts}, but grid_size {grid_size} has room for {room} at most")
    trial = kernels.new_state(1, grid_size)
    seed_stream(trial["stream"][0], np.uint64(0))
    if not levels.fits(trial[0], ranges.largest):
        raise ValueError(
            f"{parts}; grid_size {grid_size} has room for {room}, but only if packed closely: none of {levels.LAYOUTS} "
            "random levels fitted"
        )


class BoxWorldEnv(GameEnv):
    """Open boxes with keys from other boxes until one holds the gem; a wrong box ends it all. The room is seen whole.

    ## Description
    Box-World of Zambaldi et al. 2019 ("Deep reinforcement learning with relational inductive biases", ICLR), by the
    rules and the level generator of its authors' code. A room of 12x12 cells with a wall around it holds a loose key,
    which is a single coloured cell, and boxes, which are two cells side by side: on the left the content, a key or the
    gem, on the right the lock. A key opens the locks of its colour. One box leads to the next: the loose key opens
    the first box of the solution, whose key opens the second, and the last one holds the gem. Distractors branch off:
    they open with a key of the solution too, but it is used up then, and the gem is out of reach.

    The agent moves to a neighbouring cell if it is empty, or a lock whose key is held, or a key or the gem without
    a lock to its right. Walking on the lock opens the box and uses up the key; the content stays and is taken by
    walking on it. One key is held at a time: taking another loses it.

    ## Action Space
    ``Discrete(4)``: 0 up, 1 down, 2 left, 3 right. A move that is not possible is staying.

    ## Observation Space
    ``Box(0, 255, (14, 14, 3), uint8)``: an RGB picture, one pixel a cell, the wall included (``grid_size + 2`` pixels
    a side): agent (128, 128, 128), gem (255, 255, 255), wall (0, 0, 0), empty (204, 204, 204), keys and locks in 20
    pastel colours, a key in that of its lock. The colour of the key held is shown by the top left pixel of the wall.

    ## Rewards
    | event | reward |
    | --- | --- |
    | a box of the solution is opened | 1 |
    | a distractor is opened | -1 |
    | the gem is taken | 10 |
    | anything else, a key taken among it | 0 |

    The most an episode can pay is 10 and the number of boxes of the solution.

    ## Starting State
    Each episode has a new level. The numbers of boxes of the solution, of distractors and of backward distractors are
    uniform over their ranges. Each distractor starts with the lock of a random box of the solution; its keys are random
    among those the solution does not use, so distractors may share keys. Which key has which colour is random.
    The loose key, then the boxes, are put on random places where they touch neither each other nor the wall; then the
    agent on a random empty cell, in neither the top nor the bottom row nor the last column. After 200 failed tries the
    level is drawn anew, so small levels are more frequent where space is short.

    ## Episode End
    The episode terminates when the gem is taken or a distractor is opened, and is truncated after ``max_steps`` steps.

    ## Arguments
    - ``grid_size`` (12): cells of a side of the room, 5 to 64.
    - ``solution_length`` ((1, 4)): the least and the most boxes of the solution, the gem's among them.
    - ``num_distractors`` ((0, 4)): the least and the most distractors.
    - ``num_backward_distractors`` ((0, 0)): the least and the most backward distractors. Such a box holds a key of the
      solution, and the solution has no key to its lock. A distractor can hold that key by chance: with both kinds and
      three boxes or more to open, a few levels show two ways to the gem and only one is the solution.
    - ``distractor_length`` (1): boxes of a distractor, each opened by the key of the one before; opening the first
      ends the episode.
    - ``max_steps`` (120): steps after which the episode is truncated.
    - ``render_mode`` (None): "rgb_array", "ansi", "human" or None.

    The largest level must fit the room: the 12x12 room takes 15 objects, the loose key among them.

    ## Version History
    - v0: first version.
    """

    game_class = BoxWorld


class BoxWorldVectorEnv(GameVectorEnv):
    """A batch of ``BoxWorldEnv`` games; the options are the same, and those of ``GameVectorEnv``."""

    game_class = BoxWorld


class BoxWorldViewportEnv(GameEnv):
    """BoxWorld seen through a 5x5 window around the agent: where the boxes are must be found out and remembered.

    ## Description
    The game of ``BoxWorldEnv``; the agent sees only the 5x5 cells around it and the colour of the key it holds, as in
    Santoro et al. 2018 (arXiv 1806.01822, appendix A.3).

    ## Action Space
    ``Discrete(4)``: 0 up, 1 down, 2 left, 3 right. A move that is not possible is staying.

    ## Observation Space
    ``Box(0, 255, (5, 5, 6), uint8)``. Planes 0 to 2: the part of ``BoxWorldEnv``'s picture with the agent at its
    centre, in RGB; what lies beyond the wall is black like the wall. Planes 3 to 5: the colour of the key held, the
    same in every cell, or 0 without a key.

    ## Rewards
    Those of ``BoxWorldEnv``: 1 for a box of the solution, -1 for a distractor, 10 for the gem.

    ## Starting State
    That of ``BoxWorldEnv``, by default with solutions of up to 5 boxes and up to 5 distractors.

    ## Episode End
    That of ``BoxWorldEnv``: terminated by the gem or a distractor, truncated after ``max_steps`` steps.

    ## Arguments
    - ``solution_length`` ((1, 5)), ``num_distractors`` ((0, 5)): as in ``BoxWorldEnv``, with the paper's ranges.
    - ``grid_size``, ``num_backward_distractors``, ``distractor_length``, ``max_steps``, ``render_mode``: as in
      ``BoxWorldEnv``.

    ## Version History
    - v0: first version.
    """

    game_class = BoxWorldViewport


class BoxWorldViewportVectorEnv(GameVectorEnv):
    """A batch of ``BoxWorldViewportEnv`` games; the options are the same, and those of ``GameVectorEnv``."""

    game_class = BoxWorldViewport
