"""Mini Pacman as Gymnasium environments: options, spaces and the documentation of the game."""

from typing import Any

import numpy as np
from gymnasium import spaces

from rmc_envs.batch import Game, Outputs, check_choice, check_count, check_flag
from rmc_envs.faces import GameEnv, GameVectorEnv
from rmc_envs.minipacman import drawing, kernels
from rmc_envs.minipacman.maze import COLUMNS, FOOD, FULL_GROUND, OPEN_CELLS, OUTSIDE, ROWS, WALL
from rmc_envs.minipacman.tasks import TASKS

OBSERVATION_CHANNELS = {"rgb": 3, "planes": len(kernels.PLANES)}
OUTSIDE_COLOURS = {"wall": WALL, "empty": kernels.EMPTY}


class MiniPacman(Game):
    """Mini Pacman seen whole; the options are those of ``MiniPacmanEnv``."""

    view_shape = (ROWS, COLUMNS)
    colours = kernels.GROUND_COLOURS
    action_names = ("stay", "right", "up", "left", "down")

    def __init__(
        self,
        *,
        task: str = "regular",
        max_steps: int = 3000,
        time_limit: int | None = None,
        level: int = 1,
        fast_pacman: bool = False,
        observation: str = "rgb",
    ) -> None:
        self.task = TASKS[check_choice("task", task, TASKS)]._replace(
            first_level=check_count("level", level, most=kernels.LARGEST_LEVEL),
            fast_pacman=check_flag("fast_pacman", fast_pacman),
        )
        if time_limit is not None:
            self.task = self.task._replace(time_limit=check_count("time_limit", time_limit))
        self.max_steps = check_count("max_steps", max_steps)
        channels = OBSERVATION_CHANNELS[check_choice("observation", observation, OBSERVATION_CHANNELS)]
        self.observation_space = spaces.Box(0, 255, (*self.view_shape, channels), np.uint8)
        self.action_space = spaces.Discrete(kernels.NUM_ACTIONS)

    def new_state(self, num_games: int) -> np.ndarray:
        """Records for ``num_games`` games."""
        return kernels.new_state(num_games)

    def begin(self, state: np.ndarray, mask: np.ndarray) -> None:
        """Start an episode where ``mask`` is set."""
        kernels.begin(state, self.task, mask)

    def step(self, state: np.ndarray, outputs: Outputs) -> None:
        """Play one step of every game."""
        kernels.step(state, self.task, self.max_steps, self.colours, outputs)

    def observe(self, state: np.ndarray, observation: np.ndarray) -> None:
        """Draw every game's observation."""
        kernels.draw(state, self.colours, observation)

    def impossible_fields(self, state: np.ndarray) -> list[str]:
        """Cells one cannot stand on, counts that do not fit, and the like."""
        ground, closed = state["ground"], FULL_GROUND != FOOD
        alive = np.arange(kernels.MAX_GHOSTS) < state["num_ghosts"][:, None]
        frame = state["frame"].astype(np.int64)
        reachable = kernels.LARGEST_LEVEL + 2 * frame  # pacman and the ghosts can each clear a level in one step
        possible = {
            "ground": (ground[:, closed] == FULL_GROUND[closed]).all() and (ground[:, ~closed] <= FOOD).all(),
            "food_left": (state["food_left"] == (ground == FOOD).sum(axis=1)).all(),
            "pacman": np.isin(state["pacman"], OPEN_CELLS).all(),
            "pacman_heading": np.isin(state["pacman_heading"], np.arange(4)).all(),
            "pills": np.isin(state["pills"], [kernels.GONE, *OPEN_CELLS]).all(),
            "num_ghosts": np.isin(state["num_ghosts"], np.arange(kernels.MAX_GHOSTS + 1)).all(),
            "ghosts": np.isin(state["ghosts"][alive], OPEN_CELLS).all(),
            "ghost_headings": np.isin(state["ghost_headings"][alive], np.arange(4)).all(),
            "power": np.isin(state["power"], np.arange(kernels.POWER_STEPS + 1)).all(),
            "level": ((state["level"] >= 1) & (state["level"] <= reachable)).all(),
            "timer": ((state["timer"] >= 0) & (state["timer"] <= self.max_steps)).all(),
            "frame": ((frame >= 0) & (frame <= self.max_steps)).all(),
            "score": np.isfinite(state["score"]).all(),
        }
        return [name for name, holds in possible.items() if not holds]

    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """The maze, uint8 [384, 480, 3]."""
        return drawing.frame(state, game)

    def text(self, state: np.ndarray, game: int) -> str:
        """The maze in characters."""
        return drawing.text(state, game)


class MiniPacmanViewport(MiniPacman):
    """Mini Pacman seen through a 5x5 window; the options are those of ``MiniPacmanViewportEnv``."""

    view_shape = (kernels.VIEW, kernels.VIEW)

    def __init__(self, *, outside: str = "wall", **options: Any) -> None:
        super().__init__(**options)
        ground = OUTSIDE_COLOURS[check_choice("outside", outside, OUTSIDE_COLOURS)]
        self.colours = kernels.GROUND_COLOURS.copy()
        self.colours[OUTSIDE] = self.colours[ground]

    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """The maze with the viewport outlined and the rest dimmed, uint8 [384, 480, 3]."""
        return drawing.viewport_frame(state, game)

    def text(self, state: np.ndarray, game: int) -> str:
        """The maze in characters, the viewport within corners."""
        return drawing.viewport_text(state, game)


class MiniPacmanEnv(GameEnv):
    """Eat a maze empty while ghosts hunt; clear level after level. The whole maze is seen.

    ## Description
    Mini Pacman as in Weber et al. 2017 (arXiv 1707.06203), by the rules of its PillEater code. One fixed maze of 15x19
    cells holds food on every open cell, two power pills, pacman and ghosts: one more ghost on every second level, and
    ghosts get faster with the level. For 20 steps after a pill the ghosts flee at half their speed and can be eaten;
    a ghost eaten is gone until the next level. A cleared level gives way to the next within the same episode. Five
    tasks share these moves and differ in what they pay and in when a level is cleared.

    In a step pacman moves and eats; then each ghost in turn meets pacman where it stands, moves, and meets it there. A
    ghost moves with probability ``0.5 + 0.1 (level - 1)``, half of it while pacman has power. It never turns round: it
    follows corridors, and at a junction takes the way that points most towards pacman (1 time in 20, any), or least
    while pacman has power. At most one ghost is eaten in a step, and those after it do not move then.

    ## Action Space
    ``Discrete(5)``: 0 stay, 1 right, 2 up, 3 left, 4 down. Moving into a wall is staying.

    ## Observation Space
    ``Box(0, 255, (15, 19, 3), uint8)``: an RGB picture, one pixel a cell. The first that applies: pacman (0, 255, 0),
    ghost (255, 255 * power / 20, 0), pill (0, 255, 255), food (0, 0, 255), wall (255, 255, 255), empty (0, 0, 0).
    With ``observation="planes"`` ``Box(0, 255, (15, 19, 6), uint8)``: walls, food, pacman, ghosts that hunt
    (255 * (1 - power / 20)), ghosts that flee (255 * power / 20), pills; nothing hides anything.

    ## Rewards
    | task | each step | food | pill | ghost eaten | killed | level cleared when |
    | --- | --- | --- | --- | --- | --- | --- |
    | regular | 0 | 1 | 2 | 5 | 0 | all food is eaten |
    | avoid | 0.1 | -0.1 | -5 | -10 | -20 | 128 steps are survived, or all food is eaten |
    | hunt | 0 | 0 | 1 | 10 | -20 | all ghosts are eaten |
    | ambush | 0 | -0.1 | 0 | 10 | -20 | all ghosts are eaten |
    | rush | 0 | -0.1 | 10 | 0 | 0 | both pills are eaten |

    ## Starting State
    Level ``level``: pacman and the two pills on random open cells, the ghosts on random open cells not close to pacman.

    ## Episode End
    The episode terminates when a ghost without fear meets pacman, and is truncated after ``max_steps`` steps.

    ## Arguments
    - ``task`` ("regular"): "regular", "avoid", "hunt", "ambush" or "rush".
    - ``max_steps`` (3000): steps after which the episode is truncated.
    - ``time_limit`` (None): steps of one level after which the next begins. None takes the task's own: 128 for avoid,
      none for the others. Some descriptions of hunt and ambush have 80.
    - ``level`` (1): the level an episode begins with, 1 to 1000.
    - ``fast_pacman`` (False): the paper has pacman move faster with power, its code has the ghosts move slower. If True
      pacman also makes two moves a step while it has power, the second only if there is a way. It eats on both cells,
      and meets ghosts where it stops.
    - ``observation`` ("rgb"): "rgb" or "planes".
    - ``render_mode`` (None): "rgb_array", "ansi", "human" or None.

    ## Version History
    - v0: first version. A level holds at most 128 ghosts, the number of level 255.
    """

    game_class = MiniPacman


class MiniPacmanVectorEnv(GameVectorEnv):
    """A batch of ``MiniPacmanEnv`` games; the options are the same, and those of ``GameVectorEnv``."""

    game_class = MiniPacman


class MiniPacmanViewportEnv(GameEnv):
    """Mini Pacman seen through a 5x5 window around pacman: what lies beyond must be remembered.

    ## Description
    The game of ``MiniPacmanEnv``; the agent sees only the 5x5 cells around pacman, as in Santoro et al. 2018
    (arXiv 1806.01822, section 4.2). Most of the maze, the ghosts in it, and how much power is left are out of sight.

    ## Action Space
    ``Discrete(5)``: 0 stay, 1 right, 2 up, 3 left, 4 down. Moving into a wall is staying.

    ## Observation Space
    ``Box(0, 255, (5, 5, 3), uint8)``: the part of ``MiniPacmanEnv``'s picture with pacman at its centre, ``(5, 5, 6)``
    with ``observation="planes"``. Where the window reaches one ring beyond the maze it shows what ``outside`` says.

    ## Rewards
    Those of ``MiniPacmanEnv``, by task.

    ## Starting State
    That of ``MiniPacmanEnv``.

    ## Episode End
    That of ``MiniPacmanEnv``: terminated by a ghost, truncated after ``max_steps`` steps.

    ## Arguments
    - ``outside`` ("wall"): the colour of the ring beyond the maze, "wall" (white) or "empty" (black).
    - ``task``, ``max_steps``, ``time_limit``, ``level``, ``fast_pacman``, ``observation``, ``render_mode``: as in
      ``MiniPacmanEnv``.

    ## Version History
    - v0: first version.
    """

    game_class = MiniPacmanViewport


class MiniPacmanViewportVectorEnv(GameVectorEnv):
    """A batch of ``MiniPacmanViewportEnv`` games; the options are the same, and those of ``GameVectorEnv``."""

    game_class = MiniPacmanViewport
