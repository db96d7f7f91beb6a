"""CartPole with its velocities hidden: who balances it must remember where cart and pole were."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class PositionsOnly(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Shows the cart's place and the pole's angle, scaled to about one."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The place in units of 2.4, the angle in units of 12 degrees: both at most 1 before the episode ends."""
        return np.array([observation[0] / 2.4, observation[2] / 0.2095], np.float32)
