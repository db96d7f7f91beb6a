from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from rmc_rl.errors import UserError
from rmc_rl.policy import Policy
from rmc_rl.viewer.panels import KEYS, Caption, Panels
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import Step
from rmc_rl.viewer.window import EPISODE_END_SECONDS, SPEEDS, Window

MakeWindow = Callable[..., Window]


@pytest.fixture
def make_window(policy: Policy) -> Iterator[MakeWindow]:
    made: list[Window] = []

    def make(max_steps: int | None = None, **options: object) -> Window:
        session = Session(policy, seed=100, max_steps=max_steps)
        panels = Panels(Caption("game", "agent", session.action_names))
        given = {"speed": 8.0, "size": (480, 320)} | options
        made.append(Window(session, panels, **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for window in made:
        window.close()
        window.session.close()


@pytest.fixture
def window(make_window: MakeWindow) -> Window:
    return make_window()


def press(window: Window, key: int, character: str = "") -> None:
    window.handle(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=character))
    window.handle(pygame.event.Event(pygame.KEYUP, key=key))


def shown() -> np.ndarray:
    """uint8 [width, height, 3]."""
    return pygame.surfarray.array3d(pygame.display.get_surface())


def test_it_opens_with_the_first_step(window: Window) -> None:
    window.draw()
    assert (window.step.episode, window.step.number) == (0, 0)
    assert pygame.display.get_surface().get_size() == (480, 320)
    assert len(np.unique(shown().reshape(-1, 3), axis=0)) > 50


def test_the_agent_acts_at_its_speed(window: Window) -> None:
    for _ in range(30):
        window.tick(1 / 30)
    assert window.step.number == pytest.approx(8, abs=1)
    press(window, pygame.K_UP)
    before = window.step.number
    for _ in range(30):
        window.tick(1 / 60)
    assert window.step.number - before == pytest.approx(7.5, abs=1)


def test_space_pauses_and_goes_on(window: Window) -> None:
    press(window, pygame.K_SPACE)
    window.tick(10.0)
    assert (window.paused, window.step.number) == (True, 0)
    press(window, pygame.K_SPACE)
    window.tick(0.5)
    assert (window.paused, window.step.number) == (False, 4)


@pytest.mark.parametrize("key", [pygame.K_RIGHT, pygame.K_PERIOD])
def test_one_step_at_a_time(window: Window, key: int) -> None:
    press(window, pygame.K_SPACE)
    press(window, key)
    press(window, key)
    assert (window.paused, window.step.number) == (True, 2)
    press(window, pygame.K_SPACE)
    press(window, key)
    assert (window.paused, window.step.number) == (True, 3)


@pytest.mark.parametrize(
    ("faster", "slower"),
    [
        ((pygame.K_UP, ""), (pygame.K_DOWN, "")),
        ((pygame.K_EQUALS, "+"), (pygame.K_SLASH, "-")),
        ((pygame.K_KP_PLUS, "+"), (pygame.K_KP_MINUS, "-")),
    ],
)
def test_speed_has_steps_and_ends(window: Window, faster: tuple[int, str], slower: tuple[int, str]) -> None:
    press(window, *faster)
    assert window.speed == 15.0
    for _ in SPEEDS:
        press(window, *faster)
    assert window.speed == SPEEDS[-1]
    for _ in SPEEDS:
        press(window, *slower)
    assert window.speed == SPEEDS[0]


def test_a_speed_between_the_steps_finds_its_neighbours(make_window: MakeWindow) -> None:
    window = make_window(speed=10.0)
    press(window, pygame.K_DOWN)
    assert window.speed == 8.0


def test_next_episode_greedy_and_help(window: Window) -> None:
    press(window, pygame.K_n)
    assert (window.step.episode, window.step.seed, window.step.number) == (1, 101, 0)
    press(window, pygame.K_g)
    assert window.session.greedy
    window.tick(0.2)
    assert window.step.action == window.step.probabilities.argmax()
    press(window, pygame.K_g)
    assert not window.session.greedy
    for key, character in ((pygame.K_h, "h"), (pygame.K_SLASH, "?"), (pygame.K_F1, "")):
        press(window, key, character)
        assert window.help
        press(window, key, character)
        assert not window.help


def test_a_key_held_down_toggles_once_but_steps_on(window: Window) -> None:
    for _ in range(3):
        window.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_SPACE, unicode=" "))
        window.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_RIGHT, unicode=""))
    assert (window.paused, window.step.number) == (True, 3)


@pytest.mark.parametrize("key", [pygame.K_q, pygame.K_ESCAPE])
def test_keys_that_quit(window: Window, key: int) -> None:
    press(window, key)
    assert not window.open


def test_every_key_of_the_help_does_something(make_window: MakeWindow, tmp_path: Path) -> None:
    named = {"space": pygame.K_SPACE, "right": pygame.K_RIGHT, "up": pygame.K_UP, "down": pygame.K_DOWN}
    named |= {"Esc": pygame.K_ESCAPE, ".": pygame.K_PERIOD, "+": pygame.K_PLUS, "-": pygame.K_MINUS}

    def state(window: Window) -> tuple[object, ...]:
        place = (window.step.episode, window.step.number)
        return place, window.paused, window.speed, window.session.greedy, window.help, window.open, window._message

    for keys, _ in KEYS:
        for name in keys.split("  or  "):
            window = make_window()
            before = state(window)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path)
                press(window, named.get(name) or pygame.key.key_code(name))
            assert state(window) != before, name


def test_the_end_of_an_episode_stays_for_a_while(make_window: MakeWindow) -> None:
    endings: list[Step] = []
    window = make_window(max_steps=2, ended=endings.append)
    window.tick(0.25)
    assert window.step.ending == "cut short"
    assert endings == [window.step]
    window.tick(EPISODE_END_SECONDS * 0.9)
    assert window.step is endings[0]
    window.tick(EPISODE_END_SECONDS * 0.2)
    window.tick(0.13)
    assert (window.step.episode, window.step.number) == (1, 0)


def test_it_closes_after_the_last_episode(make_window: MakeWindow) -> None:
    endings: list[Step] = []
    window = make_window(max_steps=2, episodes=2, ended=endings.append)
    for _ in range(100):
        window.tick(0.2)
    assert not window.open
    assert [step.episode for step in endings] == [0, 1]
    skipped = make_window(episodes=1)
    press(skipped, pygame.K_n)
    assert not skipped.open


def test_a_machine_too_slow_for_the_speed_drops_what_is_late(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window(speed=1000.0)
    clock = iter(range(1000))
    monkeypatch.setattr("rmc_rl.viewer.window.time.perf_counter", lambda: float(next(clock)))
    window.tick(0.25)
    assert window.step.number == 1
    window.tick(0.001)
    assert window.step.number == 2


def test_it_is_drawn_anew_when_something_has_changed(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    drawings: list[int] = []
    draw = window.panels.draw
    monkeypatch.setattr(window.panels, "draw", lambda *args: (drawings.append(1), draw(*args)))
    for _ in range(3):
        window.draw()
    assert len(drawings) == 1
    press(window, pygame.K_RIGHT)
    window.draw()
    assert len(drawings) == 2
    press(window, pygame.K_h)
    window.draw()
    assert len(drawings) == 3
    pygame.display.set_mode((700, 500), pygame.RESIZABLE)
    window.draw()
    assert len(drawings) == 4


def test_messages_pass(window: Window) -> None:
    window.draw()
    first = shown()
    window.paused = True
    window.tick(60.0)
    window.draw()
    assert (first != shown()).any()
    assert window._message == ""


def test_a_picture_is_saved(window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    window.draw()
    press(window, pygame.K_s)
    (path,) = tmp_path.iterdir()
    assert path.name == "minipacman-viewport-seed100-step0.png"
    np.testing.assert_array_equal(pygame.surfarray.array3d(pygame.image.load(path)), shown())


def test_a_picture_that_cannot_be_saved_is_told(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minipacman-viewport-seed100-step0.png").mkdir()
    press(window, pygame.K_s)
    assert "cannot be written" in window._message


@pytest.mark.parametrize(
    "event", [pygame.event.Event(pygame.QUIT), pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q, unicode="q")]
)
def test_the_loop_ends_when_asked_to(window: Window, event: pygame.event.Event) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_n, unicode="n"))
    pygame.event.post(event)
    window.run()
    assert not window.open
    assert window.step.episode == 1


def test_a_window_larger_than_the_screen_is_made_smaller(make_window: MakeWindow) -> None:
    window = make_window(size=(7680, 4320))
    width, height = pygame.display.get_surface().get_size()
    screen = pygame.display.get_desktop_sizes()[0]
    assert (width, height) == screen
    window.draw()


@pytest.mark.parametrize("driver", ["", "no_such_driver"])
def test_without_a_display_a_recording_is_offered(policy: Policy, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    monkeypatch.setattr("rmc_rl.viewer.window.sys.platform", "linux")
    pygame.display.quit()
    session = Session(policy)
    with pytest.raises(UserError, match=r"record=out\.gif"):
        Window(session, Panels(Caption("game", "agent", session.action_names)), speed=8.0, size=(480, 320))
    session.close()
