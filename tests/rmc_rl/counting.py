"""An environment whose episode from seed s lasts 2 + s % 8 steps and pays 1 a step."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class Counting(gymnasium.Env[np.ndarray, int]):
    observation_space = gymnasium.spaces.Box(0, 255, (5, 5, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(5)
    _length = 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._length = 1 if seed is None else 2 + seed % 8
        self._time = 0
        return np.zeros((5, 5, 3), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._time += 1
        return np.full((5, 5, 3), self._time, np.uint8), 1.0, self._time == self._length, False, {}


gymnasium.register("Counting-v0", Counting)
