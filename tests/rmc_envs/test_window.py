import sys
from typing import Any

import numpy as np
import pytest

from rmc_envs.window import Window

FRAME = np.full((20, 30, 3), (250, 120, 10), np.uint8)


@pytest.fixture
def pygame(headless_window: None) -> Any:
    return pytest.importorskip("pygame")


def test_shows_the_frame_scaled(pygame: Any) -> None:
    window = Window("title", fps=1000, scale=3)
    window.show(FRAME)
    surface = pygame.display.get_surface()
    assert surface.get_size() == (90, 60)
    assert tuple(surface.get_at((45, 30)))[:3] == (250, 120, 10)
    window.close()
    window.close()
    assert not pygame.display.get_init()


def test_closing_by_the_user_ends_nothing_else(pygame: Any) -> None:
    window = Window("title", fps=1000)
    window.show(FRAME)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.show(FRAME)
    assert window.closed
    window.show(FRAME)
    assert not pygame.display.get_init()


def test_missing_pygame_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.error import DependencyNotInstalled

    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match=r"rmc-envs\[render\]"):
        Window("title", fps=10)
