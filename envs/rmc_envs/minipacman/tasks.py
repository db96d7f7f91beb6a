"""The five tasks of Mini Pacman: one maze and one set of moves, five reward tables.

Values are those of the PillEater code behind Weber et al. 2017 ("Imagination-Augmented Agents", MiniPacman).
"""

from typing import NamedTuple

NO_TIME_LIMIT = 0


class Task(NamedTuple):
    """What a task pays and when its level is cleared."""

    step: float
    """added at every step"""
    food: float
    pill: float
    ghost: float
    """for eating a ghost while power lasts"""
    death: float
    cleared_by_food: bool
    cleared_by_pills: bool
    cleared_by_ghosts: bool
    time_limit: int
    """steps of one level after which the next begins; ``NO_TIME_LIMIT`` for none"""
    first_level: int = 1
    fast_pacman: bool = False
    """whether pacman makes two moves a step while it has power"""


TASKS: dict[str, Task] = {
    #                 step  food  pill ghost  death  by food, pills, ghosts  time limit
    "regular": Task(0.0, 1.0, 2.0, 5.0, 0.0, True, False, False, NO_TIME_LIMIT),
    "avoid": Task(0.1, -0.1, -5.0, -10.0, -20.0, True, False, False, 128),
    "hunt": Task(0.0, 0.0, 1.0, 10.0, -20.0, False, False, True, NO_TIME_LIMIT),
    "ambush": Task(0.0, -0.1, 0.0, 10.0, -20.0, False, False, True, NO_TIME_LIMIT),
    "rush": Task(0.0, -0.1, 10.0, 0.0, 0.0, False, True, False, NO_TIME_LIMIT),
}
