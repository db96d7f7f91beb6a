"""BoxWorld (Zambaldi et al. 2019) with the full view and with the 5x5 viewport of Santoro et al. 2018."""

from rmc_envs.boxworld.game import (
    BoxWorldEnv,
    BoxWorldVectorEnv,
    BoxWorldViewportEnv,
    BoxWorldViewportVectorEnv,
)

__all__ = [
    "BoxWorldEnv",
    "BoxWorldVectorEnv",
    "BoxWorldViewportEnv",
    "BoxWorldViewportVectorEnv",
]
