"""Interfaces without an environment."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from rmc_rl.spaces import Interface


def discrete_interface(shape: tuple[int, ...], num_actions: int) -> Interface:
    """A picture of bytes where the shape has three axes, else a vector; and so many actions."""
    image = len(shape) == 3
    seen = spaces.Box(0, 255, shape, np.uint8) if image else spaces.Box(-np.inf, np.inf, shape, np.float32)
    return Interface(seen, spaces.Discrete(num_actions))
