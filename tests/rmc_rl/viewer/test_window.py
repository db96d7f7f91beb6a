from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pygame
import pytest

from rmc_agents.actions import Actions, Continuous, MultiDiscrete
from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.policy import Policy
from rmc_rl.viewer.keys import KEYS
from rmc_rl.viewer.panels import Caption, Panels
from rmc_rl.viewer.selection import Selection
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import Step
from rmc_rl.viewer.window import EPISODE_END_SECONDS, SPEEDS, Window

MakeWindow = Callable[..., Window]


@pytest.fixture
def make_window(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWindow]:
    made: list[Window] = []
    monkeypatch.setattr("rmc_rl.viewer.window.ACTING_SECONDS", 1e9)  # no machine is too slow

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
    named = {"space": pygame.K_SPACE, "right": pygame.K_RIGHT, "left": pygame.K_LEFT, "up": pygame.K_UP}
    named |= {
        "Esc": pygame.K_ESCAPE,
        ".": pygame.K_PERIOD,
        ",": pygame.K_COMMA,
        "+": pygame.K_PLUS,
        "-": pygame.K_MINUS,
    }
    named |= {"page up": pygame.K_PAGEUP, "page down": pygame.K_PAGEDOWN, "home": pygame.K_HOME, "end": pygame.K_END}

    def state(window: Window) -> tuple[object, ...]:
        place = (window.step.episode, window.step.number)
        settings = (window.paused, window.speed, window.session.greedy, window.help, window.open, window.person)
        return place, settings, window.panels.selection, window._message, window._prompt, window._camera.filming

    for keys, _ in KEYS:
        for name in keys.split("  or  "):
            window = make_window()
            for _ in range(3):
                press(window, pygame.K_RIGHT)
            press(window, pygame.K_LEFT)
            press(window, pygame.K_1)
            before = state(window)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path)
                press(window, pygame.K_2 if name == "1" else named.get(name) or pygame.key.key_code(name))
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


def test_a_seed_that_is_asked_for_is_played_after_the_last_episode_too(make_window: MakeWindow) -> None:
    window = make_window(max_steps=2, episodes=1)
    press(window, pygame.K_r)
    press(window, pygame.K_RETURN, "\r")
    assert (window.open, window.step.episode) == (True, 1)
    for _ in range(20):
        window.tick(0.2)
    assert (window.open, window.step.episode) == (False, 1)


def test_a_machine_too_slow_for_the_speed_drops_what_is_late(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window(speed=1000.0)
    monkeypatch.setattr("rmc_rl.viewer.window.ACTING_SECONDS", 0.02)
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


def test_looking_back_finds_what_was_shown(window: Window) -> None:
    steps = [window.step]
    for _ in range(12):
        press(window, pygame.K_RIGHT)
        steps.append(window.step)
    press(window, pygame.K_LEFT)
    assert window.step.number == 11
    np.testing.assert_array_equal(window.step.board, steps[11].board)
    press(window, pygame.K_PAGEUP)
    assert window.step.number == 1
    np.testing.assert_array_equal(window.step.memory[0].values, steps[1].memory[0].values)
    press(window, pygame.K_PAGEUP)
    assert window.step.number == 0
    press(window, pygame.K_PAGEDOWN)
    assert window.step.number == 10
    press(window, pygame.K_HOME)
    assert (window.step.number, window.paused) == (0, True)
    press(window, pygame.K_END)
    assert window.step is steps[12] or window.step.number == 12


def test_it_goes_on_from_where_one_looks(window: Window) -> None:
    for _ in range(5):
        press(window, pygame.K_RIGHT)
    latest = window.step
    press(window, pygame.K_HOME)
    press(window, pygame.K_SPACE)
    window.tick(0.25)
    assert window.step.number == 2
    window.tick(0.25)
    window.tick(0.25)
    assert window.step.number == 6
    press(window, pygame.K_LEFT)
    np.testing.assert_array_equal(window.step.observation, latest.observation)


def test_episodes_back_and_on(make_window: MakeWindow) -> None:
    window = make_window(max_steps=3)
    press(window, pygame.K_p)
    assert "no earlier episode" in window._message
    press(window, pygame.K_n)
    press(window, pygame.K_n)
    assert window.step.episode == 2
    press(window, pygame.K_p)
    assert (window.step.episode, window.step.number, window.paused) == (1, 0, True)
    press(window, pygame.K_LEFT)
    assert window.step.episode == 0
    press(window, pygame.K_n)
    press(window, pygame.K_n)
    assert window.step.episode == 2
    press(window, pygame.K_n)
    assert window.step.episode == 3
    assert window.step.seed == 103


def test_the_end_of_a_recorded_episode_stays_for_a_while_too(make_window: MakeWindow) -> None:
    window = make_window(max_steps=2)
    window.tick(0.25)
    press(window, pygame.K_n)
    press(window, pygame.K_p)
    press(window, pygame.K_SPACE)
    window.tick(0.25)
    assert window.step.ending == "cut short"
    window.tick(EPISODE_END_SECONDS * 0.9)
    assert window.step.ending == "cut short"
    window.tick(EPISODE_END_SECONDS * 0.2)
    window.tick(0.13)
    assert (window.step.episode, window.step.number) == (1, 0)


def mouse(window: Window, kind: int, place: tuple[float, float]) -> None:
    pos = (round(place[0]), round(place[1]))
    window.handle(pygame.event.Event(kind, pos=pos, **({} if kind == pygame.MOUSEMOTION else {"button": 1})))


def test_the_mouse_goes_to_a_step_of_the_time_line(window: Window) -> None:
    for _ in range(10):
        press(window, pygame.K_RIGHT)
    window.draw()
    track = window.panels.track
    mouse(window, pygame.MOUSEMOTION, (track.middle(7), track.box.centery))
    assert window.step.number == 10, "the button is up"
    mouse(window, pygame.MOUSEBUTTONDOWN, (track.middle(3), track.box.centery))
    assert (window.step.number, window.paused) == (3, True)
    mouse(window, pygame.MOUSEMOTION, (track.middle(7), 5000))
    assert window.step.number == 7
    mouse(window, pygame.MOUSEMOTION, (5000, 5000))
    assert window.step.number == 10
    mouse(window, pygame.MOUSEBUTTONUP, (0, 0))
    mouse(window, pygame.MOUSEMOTION, (track.middle(3), track.box.centery))
    assert window.step.number == 10


def test_heads_by_key_and_mouse(make_window: MakeWindow) -> None:
    window = make_window(size=(1280, 720))
    heads = []
    for _ in range(5):
        press(window, pygame.K_a)
        heads.append(window.panels.selection.head)
    assert heads == [0, 1, 2, 3, None]
    window.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a, unicode="A", mod=pygame.KMOD_LSHIFT))
    assert window.panels.selection.head == 3
    press(window, pygame.K_2)
    assert window.panels.selection.head == 1
    press(window, pygame.K_9)
    assert window.panels.selection.head == 1
    assert "no head 9: 1 to 4" in window._message
    press(window, pygame.K_b)
    assert "one block" in window._message
    window.draw()
    (place,) = (box.center for box, selection in window.panels.targets if selection.head == 2)
    before = shown()
    mouse(window, pygame.MOUSEBUTTONDOWN, place)
    assert window.panels.selection.head == 2
    window.draw()
    assert (shown() != before).any()


def test_blocks_go_round(window: Window) -> None:
    attention = window.step.attention
    assert attention is not None
    window.history.amend(replace(window.step, attention=attention.repeat(3, axis=0)))
    blocks = []
    for _ in range(3):
        press(window, pygame.K_b)
        blocks.append(window.panels.selection.block)
    assert blocks == [0, 1, 2]


def test_a_core_that_does_not_attend_has_no_heads(window: Window) -> None:
    window.history.amend(replace(window.step, attention=None))
    for key in (pygame.K_a, pygame.K_b, pygame.K_3):
        window._message = ""
        press(window, key)
        assert "does not attend" in window._message
    assert window.panels.selection == Selection()


def write(window: Window, words: str) -> None:
    for character in words:
        press(window, ord(character), character)


def test_a_seed_is_typed(window: Window) -> None:
    press(window, pygame.K_r)
    write(window, "47")
    press(window, pygame.K_BACKSPACE)
    write(window, "n2")
    window.tick(5.0)
    assert (window.step.episode, window.step.number) == (0, 0), "time stands still, and letters are no keys"
    window.draw()
    press(window, pygame.K_RETURN, "\r")
    assert (window.step.episode, window.step.seed, window.step.number) == (1, 42, 0)
    press(window, pygame.K_RIGHT)
    press(window, pygame.K_r)
    press(window, pygame.K_RETURN, "\r")
    assert (window.step.episode, window.step.seed, window.step.number) == (2, 42, 0)
    press(window, pygame.K_r)
    write(window, "5")
    press(window, pygame.K_ESCAPE)
    assert window.open
    press(window, pygame.K_n)
    assert window.step.seed == 43


def test_a_very_long_number_is_a_seed_all_the_same(window: Window) -> None:
    press(window, pygame.K_r)
    write(window, "9" * 40)
    press(window, pygame.K_RETURN, "\r")
    assert window.step.seed == int("9" * 18)


def test_a_person_takes_over_and_hands_back(window: Window) -> None:
    """Mini Pacman's actions are stay, right, up, left, down."""
    press(window, pygame.K_t)
    assert window.person is not None
    assert window.paused
    window.tick(5.0)
    assert window.step.number == 0, "the game waits"
    for key, action in ((pygame.K_UP, 2), (pygame.K_RETURN, 0), (pygame.K_LEFT, 3), (pygame.K_RIGHT, 1)):
        before = window.step.number
        press(window, key)
        assert window.step.number == before + 1
        assert (window.history.timeline.actions[before], window.history.timeline.by_person[before]) == (action, True)
    assert window.speed == 8.0, "arrows are moves now"
    press(window, pygame.K_COMMA)
    assert (window.step.number, window.step.action, window.step.by_person) == (3, 1, True)
    press(window, pygame.K_t)
    assert window.person is None
    assert not window.paused
    window.tick(0.5)
    press(window, pygame.K_END)
    assert not window.history.timeline.by_person[4:].any()


def test_a_game_in_which_one_can_stay_runs_by_the_clock(window: Window) -> None:
    press(window, pygame.K_t)
    press(window, pygame.K_SPACE)
    window.tick(0.25)
    window.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP, unicode=""))
    window.tick(0.25)
    window.handle(pygame.event.Event(pygame.KEYUP, key=pygame.K_UP))
    window.tick(0.25)
    assert window.history.timeline.actions[:6].tolist() == [0, 0, 2, 2, 0, 0]
    assert window.history.timeline.by_person[:6].all()


def test_a_move_leads_back_to_where_the_person_plays(window: Window) -> None:
    press(window, pygame.K_t)
    press(window, pygame.K_UP)
    press(window, pygame.K_UP)
    press(window, pygame.K_HOME)
    press(window, pygame.K_UP)
    assert window.step.number == 2
    assert "where you play" in window._message
    press(window, pygame.K_UP)
    assert window.step.number == 3


def test_a_person_begins_the_next_episode_with_a_key(make_window: MakeWindow) -> None:
    window = make_window(max_steps=2)
    press(window, pygame.K_t)
    press(window, pygame.K_SPACE)
    window.tick(0.25)
    assert window.step.ending == "cut short"
    press(window, pygame.K_UP)
    assert (window.step.episode, window.step.number, window.paused) == (1, 0, True)


def test_a_game_without_standing_still_waits(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("north", "right", "up", "left", "down")
    monkeypatch.setattr(type(window.session.env.unwrapped), "action_names", names)
    press(window, pygame.K_t)
    press(window, pygame.K_SPACE)
    assert window.paused
    assert "waits for your moves" in window._message
    press(window, pygame.K_0)
    press(window, pygame.K_0)
    assert window.history.timeline.actions[:2].tolist() == [0, 0]
    press(window, pygame.K_HOME)
    press(window, pygame.K_SPACE)
    for _ in range(8):
        window.tick(0.25)
    assert (window.step.number, window.paused) == (2, True), "it shows what was recorded, and waits again"


def test_while_a_person_plays_the_agent_takes_no_step(window: Window) -> None:
    press(window, pygame.K_t)
    for key in (pygame.K_UP, pygame.K_UP, pygame.K_HOME, pygame.K_PAGEDOWN, pygame.K_PERIOD):
        press(window, key)
    assert window.step.number == 2
    assert "where you play" in window._message


@pytest.mark.parametrize("actions", [Continuous([True]), MultiDiscrete([2, 2])])
def test_actions_that_keys_cannot_choose_are_left_to_the_agent(
    window: Window, monkeypatch: pytest.MonkeyPatch, actions: Actions
) -> None:
    monkeypatch.setattr(window.session.policy.agent, "actions", actions)
    press(window, pygame.K_t)
    assert window.person is None
    assert "nobody can take over" in window._message


def test_too_many_actions_are_left_to_the_agent(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(window.session), "action_names", tuple(map(str, range(300))))
    press(window, pygame.K_t)
    assert window.person is None
    assert "too many for the keys" in window._message


def test_a_video_of_what_is_shown(window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    window.draw()
    press(window, pygame.K_v)
    for _ in range(20):
        window.tick(0.05)
        window.draw()
    assert tuple(shown()[9, 9]) == palette.VERMILION
    press(window, pygame.K_v)
    (path,) = tmp_path.iterdir()
    assert path.name == "minipacman-viewport-seed100-step0.mp4"
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (480, 320)
    pictures = [np.frombuffer(picture, np.uint8).reshape(320, 480, 3) for picture in reader]
    assert len(pictures) == pytest.approx(32, abs=2)
    assert (np.abs(pictures[0].astype(int) - pictures[-1]) > 30).any()
    assert not (np.abs(pictures[-1][9, 9].astype(int) - palette.VERMILION) < 60).all(), "the mark is not in it"
    assert "saved" in window._message
    window.draw()
    assert tuple(shown()[9, 9]) != palette.VERMILION


def test_a_video_ends_with_the_window_or_its_size(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    press(window, pygame.K_v)
    pygame.display.set_mode((600, 400), pygame.RESIZABLE)
    window.draw()
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]
    press(window, pygame.K_RIGHT)
    press(window, pygame.K_v)
    window.close()
    assert sorted(path.name[-9:] for path in tmp_path.iterdir()) == ["step0.mp4", "step1.mp4"]
    assert capsys.readouterr().out == "saved minipacman-viewport-seed100-step1.mp4\n"


def test_a_video_that_cannot_be_written_is_told(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rmc_rl.viewer.encoder.MP4", ("-c:v", "no_such_encoder"))
    press(window, pygame.K_v)
    while window._camera.filming:
        window.tick(0.2)
    assert "cannot be written" in window._message
    assert list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr("rmc_rl.viewer.screen.sys.platform", "linux")
    pygame.display.quit()
    session = Session(policy)
    with pytest.raises(UserError, match=r"record=out\.gif"):
        Window(session, Panels(Caption("game", "agent", session.action_names)), speed=8.0, size=(480, 320))
    session.close()
