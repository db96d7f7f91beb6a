"""Actions for the games that do not depend on numpy's generators, and headless windows."""

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def fixed_actions() -> Callable[[int, int, int], np.ndarray]:
    """Builds int64 [steps, games] actions below ``count`` from a linear congruential generator."""

    def build(steps: int, games: int, count: int) -> np.ndarray:
        word, actions = 12345, []
        for _ in range(steps * games):
            word = (1103515245 * word + 12345) % 2**31
            actions.append((word >> 16) % count)
        return np.array(actions).reshape(steps, games)

    return build


@pytest.fixture
def headless_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pygame open windows without a display; skips where there is no pygame."""
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
