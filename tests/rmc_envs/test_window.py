import importlib
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

import rmc_envs

FRAME = np.full((20, 30, 3), (250, 120, 10), np.uint8)


@pytest.fixture
def pygame(headless_window: None) -> Any:
    module = pytest.importorskip("pygame")
    yield module
    module.display.quit()


@pytest.fixture
def window(pygame: Any) -> Any:
    """The module."""
    return importlib.import_module("rmc_envs.window")


def press(pygame: Any, key: int, unicode: str = "") -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=unicode))


def release(pygame: Any, key: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))


def test_shows_the_frame_scaled(pygame: Any, window: Any) -> None:
    shown = window.Window("title", fps=1000, scale=3)
    shown.show(FRAME)
    surface = pygame.display.get_surface()
    assert surface.get_size() == (90, 60)
    for place in ((0, 0), (45, 30), (89, 59)):
        assert tuple(surface.get_at(place))[:3] == (250, 120, 10)
    assert pygame.display.get_caption()[0] == "title"
    shown.close()
    shown.close()
    assert not pygame.display.get_init()


def test_a_frame_larger_than_the_screen_is_shown_smaller(pygame: Any, window: Any) -> None:
    pygame.display.init()
    screen = pygame.display.get_desktop_sizes()[0]
    frame = np.zeros((screen[1], screen[0], 3), np.uint8)
    frame[:, : screen[0] // 2] = 200
    shown = window.Window("title", fps=1000)
    shown.show(frame)
    surface = pygame.display.get_surface()
    width, height = surface.get_size()
    assert width < screen[0]
    assert height < screen[1]
    assert width / height == pytest.approx(screen[0] / screen[1], rel=0.01)
    colours = pygame.surfarray.array3d(surface)[:, :, 0]
    assert (colours[: width // 2 - 3] > 190).all()
    assert (colours[width // 2 + 3 :] < 10).all()


def test_closing_by_the_user_ends_nothing_else(pygame: Any, window: Any) -> None:
    shown = window.Window("title", fps=1000)
    shown.show(FRAME)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    shown.show(FRAME)
    assert shown.closed
    shown.show(FRAME)
    assert not pygame.display.get_init()


def test_a_window_outlives_another_one(pygame: Any, window: Any) -> None:
    first, second = (window.Window(title, fps=1000) for title in ("first", "second"))
    first.show(FRAME)
    second.show(FRAME)
    first.close()
    second.show(FRAME)
    assert not second.closed
    assert pygame.display.get_caption()[0] == "second"
    assert tuple(pygame.display.get_surface().get_at((5, 5)))[:3] == (250, 120, 10)


@pytest.mark.parametrize("env_id", list(rmc_envs.ENVIRONMENTS))
def test_human_mode_shows_every_step_and_survives_its_window(env_id: str, pygame: Any) -> None:
    env = gymnasium.make(env_id, render_mode="human")
    copy = gymnasium.make(env_id, render_mode="rgb_array")
    env.unwrapped.metadata = env.unwrapped.metadata | {"render_fps": 1000}
    for game in (env, copy):
        game.reset(seed=2)
        game.step(0)
    frame = copy.render()
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    if shown.shape[0] == 2 * frame.shape[0]:
        assert (shown == frame.repeat(2, axis=0).repeat(2, axis=1)).all()
    else:  # reduced to fit the screen
        assert shown.shape[0] / shown.shape[1] == pytest.approx(frame.shape[0] / frame.shape[1], rel=0.01)
        assert abs(shown.mean(axis=(0, 1)) - frame.mean(axis=(0, 1))).max() < 3
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    for game in (env, copy):
        observations = [game.step(1)[0] for _ in range(3)]
    assert not pygame.display.get_init()
    assert (observations[-1] == env.unwrapped._batch.outputs.observation[0]).all()
    env.close()


def test_human_mode_runs_at_render_fps(pygame: Any) -> None:
    env = gymnasium.make("rmc/RepeatFirst-v0", render_mode="human", length=50)
    env.reset(seed=0)
    start = time.perf_counter()
    for _ in range(10):
        env.step(0)
    elapsed = time.perf_counter() - start
    assert 10 / env.metadata["render_fps"] * 0.9 < elapsed
    env.close()


def test_missing_pygame_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    monkeypatch.delitem(sys.modules, "rmc_envs.window", raising=False)
    env = gymnasium.make("rmc/RepeatFirst-v0", render_mode="human")
    with pytest.raises(DependencyNotInstalled, match=r"rmc-envs\[render\]"):
        env.reset(seed=0)


def test_missing_display_is_named(pygame: Any, window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.delenv("SDL_VIDEODRIVER")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(window.NoDisplay, match="no window can be opened"):
        window.Window("title", fps=10).show(FRAME)
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    with pytest.raises(window.NoDisplay, match="nonsense not available"):
        window.Window("title", fps=10).show(FRAME)
    assert not pygame.display.get_init()


PANEL = {
    "title": "MiniPacman",
    "score": "23",
    "figures": [("steps", "5"), ("seed", "7")],
    "keys": [(("up", "w"), "up"), (("0", "…", "f"), "symbols"), (("q", "escape"), "leave")],
    "status": "6 steps a second",
}


def picture(pygame: Any, window: Any, **changes: Any) -> np.ndarray:
    """What a window of play shows of a panel: uint8 [width, height, 3]."""
    shown = window.PlayWindow("title", fps=1000)
    shown.show_play(FRAME, window.Panel(**(PANEL | changes)))
    colours = pygame.surfarray.array3d(pygame.display.get_surface())
    shown.close()
    return colours


def of_the_frame(colours: np.ndarray) -> np.ndarray:
    """The places of the frame's colour, which scaling may have changed a little: [count, 2]."""
    return np.argwhere(abs(colours.astype(int) - FRAME[0, 0]).max(axis=-1) < 8)


def test_the_picture_is_on_the_left_and_the_panel_beside_it(pygame: Any, window: Any) -> None:
    colours = picture(pygame, window)
    places = of_the_frame(colours)
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    assert (right - left + 1) / (bottom - top + 1) == pytest.approx(30 / 20, rel=0.01)
    assert len(places) == (right - left + 1) * (bottom - top + 1)
    assert right - left > 0.6 * colours.shape[0]
    panel = colours[right + 10 :]
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "BoxWorld"},
        {"score": "24"},
        {"figures": [("steps", "6"), ("seed", "7")]},
        {"keys": [(("down", "w"), "up"), *PANEL["keys"][1:]]},
        {"keys": [(("up", "w"), "down"), *PANEL["keys"][1:]]},
        {"status": "stopped"},
        {"notice": ("Score 23", "5 steps, terminated")},
    ],
)
def test_every_part_of_the_panel_is_drawn(pygame: Any, window: Any, changes: dict[str, Any]) -> None:
    assert (picture(pygame, window, **changes) != picture(pygame, window)).any()


def test_long_words_stay_inside(pygame: Any, window: Any) -> None:
    long = "a very long line that is wider than the panel " * 2
    edge = picture(pygame, window, title=long, score="1" * 40, keys=[(("0", "…", "f"), long)])[-4:]
    assert (edge == edge[0, 0]).all()


def test_a_notice_lies_over_the_middle_of_the_picture(pygame: Any, window: Any) -> None:
    before, after = picture(pygame, window), picture(pygame, window, notice=("Score 23", "5 steps, terminated"))
    changed = np.argwhere((before != after).any(axis=-1))
    shown = of_the_frame(before)
    assert (changed.min(axis=0) > shown.min(axis=0)).all()
    assert (changed.max(axis=0) < shown.max(axis=0)).all()
    assert abs(changed.mean(axis=0) - shown.mean(axis=0)).max() < 2


def test_keys_are_told_in_order(pygame: Any, window: Any) -> None:
    shown = window.PlayWindow("title", fps=1000)
    assert shown.take_keys() == []
    shown.show_play(FRAME, window.Panel(**PANEL))
    press(pygame, pygame.K_UP)
    press(pygame, pygame.K_UP)
    press(pygame, pygame.K_KP3)
    shown.show_play(FRAME, window.Panel(**PANEL))
    release(pygame, pygame.K_UP)
    press(pygame, pygame.K_UP)
    press(pygame, pygame.K_AMPERSAND, "1")  # the key of 1 on a French keyboard
    release(pygame, pygame.K_AMPERSAND)
    release(pygame, pygame.K_a)  # was down before the window was open
    press(pygame, pygame.K_KP_ENTER)
    Key = window.Key
    assert shown.take_keys() == [
        Key("up", True),
        Key("up", True, repeated=True),
        Key("3", True),
        Key("up", False),
        Key("up", True),
        Key("1", True),
        Key("1", False),
        Key("return", True),
    ]
    assert shown.take_keys() == []


def test_an_unchanged_picture_is_not_drawn_again(pygame: Any, window: Any) -> None:
    shown = window.PlayWindow("title", fps=1000)
    shown.show_play(FRAME, window.Panel(**PANEL))
    surface = pygame.display.get_surface()
    surface.fill((1, 2, 3))
    shown.show_play(FRAME, window.Panel(**PANEL))
    assert tuple(surface.get_at((0, 0)))[:3] == (1, 2, 3)
    shown.show_play(FRAME.copy(), window.Panel(**PANEL))
    assert tuple(surface.get_at((0, 0)))[:3] != (1, 2, 3)


def test_time_passes_between_two_pictures(pygame: Any, window: Any) -> None:
    shown = window.PlayWindow("title", fps=50)
    shown.show_play(FRAME, window.Panel(**PANEL))
    shown.show_play(FRAME, window.Panel(**PANEL))
    assert shown.elapsed >= 0.018
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    shown.show_play(FRAME, window.Panel(**PANEL))
    assert shown.closed
    assert shown.take_keys() == []
