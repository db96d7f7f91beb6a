"""An environment whose step raises after a while."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class Raising(gymnasium.Env[np.ndarray, int]):
    observation_space = gymnasium.spaces.Box(0, 255, (5, 5, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(5)

    def __init__(self, after: int) -> None:
        self.left = after

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((5, 5, 3), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("out of marbles")
        return np.zeros((5, 5, 3), np.uint8), 0.0, False, False, {}


gymnasium.register("Raising-v0", Raising)
