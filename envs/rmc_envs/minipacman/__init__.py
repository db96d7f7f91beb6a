"""Mini Pacman (Weber et al. 2017) with the full view and with the 5x5 viewport of Santoro et al. 2018."""

from rmc_envs.minipacman.game import (
    MiniPacmanEnv,
    MiniPacmanVectorEnv,
    MiniPacmanViewportEnv,
    MiniPacmanViewportVectorEnv,
)
from rmc_envs.minipacman.tasks import TASKS, Task

__all__ = [
    "TASKS",
    "MiniPacmanEnv",
    "MiniPacmanVectorEnv",
    "MiniPacmanViewportEnv",
    "MiniPacmanViewportVectorEnv",
    "Task",
]
