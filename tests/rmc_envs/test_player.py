import importlib
from typing import Any

import numpy as np
import pytest

from rmc_envs.player import EPISODE_END_SECONDS, Player, Spectator, assign_keys, number, run
from rmc_envs.recording import Episode, Playthrough, Replay

PACMAN, BOXES, REPEAT = "rmc/MiniPacman-v0", "rmc/BoxWorld-v0", "rmc/RepeatFirst-v0"
STAY, RIGHT, UP, LEFT, DOWN = range(5)


@pytest.fixture
def window(headless_window: None) -> Any:
    """The module."""
    return importlib.import_module("rmc_envs.window")


class Hands:
    """Presses and releases keys before a player or a spectator."""

    def __init__(self, window: Any, show: Player | Spectator) -> None:
        self.key = window.Key
        self.show = show

    def down(self, *names: str, repeated: bool = False) -> None:
        for name in names:
            self.show.handle(self.key(name, True, repeated))

    def up(self, *names: str) -> None:
        for name in names:
            self.show.handle(self.key(name, False))

    def tap(self, *names: str) -> None:
        for name in names:
            self.down(name)
            self.up(name)


def player(window: Any, env_id: str, fps: float = 5.0, **options: Any) -> tuple[Player, Hands, list[int]]:
    """A player, hands, and the actions of its first episode."""
    one = Player(Playthrough(env_id, options, seed=1), fps)
    return one, Hands(window, one), one.playthrough.episode.actions


def test_keys_by_meaning_and_in_order() -> None:
    assert assign_keys(["stay", "right", "symbol 0", "up", "symbol 1"]) == [
        ("return",),
        ("right", "d"),
        ("0",),
        ("up", "w"),
        ("1",),
    ]
    many = assign_keys([f"symbol {index}" for index in range(34)])
    assert len({key for keys in many for key in keys}) == 34
    assert not {key for keys in many for key in keys} & {"q", "r", "escape", "space"}
    with pytest.raises(ValueError, match="35 actions are too many for a keyboard: at most 34"):
        assign_keys([f"symbol {index}" for index in range(35)])


def test_a_game_without_staying_waits_for_keys(window: Any) -> None:
    one, hands, actions = player(window, BOXES)
    one.tick(10.0)
    assert actions == []
    hands.down("up", "a")
    hands.down("a", repeated=True)
    hands.up("up", "a")
    hands.tap("space", "x", "s", "right")
    assert actions == [0, 2, 2, 1, 3]


def test_the_clock_begins_with_the_first_key(window: Any) -> None:
    one, hands, actions = player(window, PACMAN)
    one.tick(10.0)
    assert actions == []
    assert one.panel().status == "Press a key to begin"
    hands.tap("left")
    one.tick(0.01)
    assert actions == [LEFT]  # at once
    assert one.panel().status == "5 steps a second"
    one.tick(0.1)
    assert actions == [LEFT]
    one.tick(0.1)
    assert actions == [LEFT, STAY]
    one.tick(0.4)
    assert actions == [LEFT, STAY, STAY, STAY]


def test_with_the_clock_the_key_held_down_counts_and_so_does_the_last_tap(window: Any) -> None:
    one, hands, actions = player(window, PACMAN)
    hands.down("up")
    one.tick(0.21)
    assert actions == [UP, UP]
    hands.down("left")
    hands.down("left", repeated=True)
    one.tick(0.2)
    assert actions[2:] == [LEFT]
    hands.up("left")
    one.tick(0.2)
    assert actions[3:] == [UP]
    hands.tap("d", "s")
    one.tick(0.4)
    assert actions[4:] == [DOWN, UP]
    hands.up("up")
    hands.tap("return")
    one.tick(0.2)
    one.tick(0.2)
    assert actions[6:] == [STAY, STAY]


def test_space_stops_the_clock(window: Any) -> None:
    one, hands, actions = player(window, PACMAN)
    hands.tap("space")
    assert one.panel().status == "Each key is one step"
    one.tick(10.0)
    hands.tap("up", "return")
    assert actions == [UP, STAY]
    hands.tap("space")
    one.tick(0.21)
    assert actions == [UP, STAY, STAY]
    hands.tap("space")
    one.tick(10.0)
    assert actions == [UP, STAY, STAY]


def test_without_fps_there_is_no_clock(window: Any) -> None:
    one, hands, actions = player(window, PACMAN, fps=0)
    hands.tap("space", "right")
    one.tick(10.0)
    assert actions == [RIGHT]
    assert ("space",) not in [keys for keys, _ in one.panel().keys]


def test_a_restart_begins_another_episode(window: Any) -> None:
    one, hands, _ = player(window, PACMAN)
    first = one.frame
    hands.tap("r")
    assert len(one.playthrough.episodes) == 1  # nothing was done yet
    hands.tap("left")
    one.tick(0.4)
    hands.tap("r")
    assert one.playthrough.episodes == [Episode([LEFT, STAY, STAY], one.playthrough.episodes[0].rewards), Episode()]
    assert one.panel().status == "Press a key to begin"
    assert (one.frame != first).any()


def test_the_end_stops_everything_until_a_restart(window: Any) -> None:
    one, hands, actions = player(window, REPEAT, length=3)
    hands.tap("0", "1", "2", "3", "0")
    assert actions == [0, 1, 2]
    panel = one.panel()
    assert panel.notice[0] == f"Score {panel.score}"
    assert panel.notice[1] == "3 steps, terminated"
    assert ("best score", panel.score) in panel.figures
    hands.tap("r")
    assert one.panel().notice == ()
    hands.tap("3")
    assert one.playthrough.episode.actions == [3]


def test_the_clock_stops_at_the_end(window: Any) -> None:
    one, hands, actions = player(window, PACMAN, max_steps=4)
    hands.tap("up")
    one.tick(10.0)
    one.tick(10.0)
    assert len(actions) == 4
    assert one.panel().notice[1] == "4 steps, truncated"


@pytest.mark.parametrize("name", ["q", "escape"])
def test_leaving(window: Any, name: str) -> None:
    one, hands, _ = player(window, REPEAT)
    assert not one.leaving
    hands.tap(name)
    assert one.leaving


def test_the_panel_tells_score_steps_and_keys(window: Any) -> None:
    one, hands, _ = player(window, PACMAN, fps=0, task="avoid")
    hands.tap("return", "return", "return")
    score = one.playthrough.episode.score
    panel = one.panel()
    assert panel.title == "MiniPacman"
    assert panel.score == number(score)
    assert ("steps", "3") in panel.figures
    assert ("last reward", "+0.1") in panel.figures
    assert ("seed", "1") in panel.figures
    keys = {meaning: tuple(names) for names, meaning in panel.keys}
    assert keys == {
        "stay": ("return",),
        "right": ("right", "d"),
        "up": ("up", "w"),
        "left": ("left", "a"),
        "down": ("down", "s"),
        "restart": ("r",),
        "leave": ("q", "escape"),
    }


def test_many_actions_share_a_line(window: Any) -> None:
    one, _, _ = player(window, REPEAT, num_symbols=16)
    assert (("0", "…", "f"), "symbol 0 … symbol 15") in one.panel().keys
    assert len(one.panel().keys) == 3


@pytest.mark.parametrize(("value", "text"), [(0.1 + 0.2, "0.3"), (7.0, "7"), (-0.0, "0"), (1234567.0, "1234567")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def recorded() -> Replay:
    playthrough = Playthrough(REPEAT, {"length": 3}, seed=1)
    for action in (0, 1, 2):
        playthrough.step(action)
    playthrough.restart()
    playthrough.step(3)
    return Replay(playthrough.recording())


def test_a_replay_runs_at_its_speed_and_holds_an_end(window: Any) -> None:
    one = Spectator(recorded(), fps=4.0)
    episodes = one.replay.playthrough.episodes
    first = one.frame
    one.tick(0.2)
    assert episodes[0].actions == []
    one.tick(0.05)
    assert episodes[0].actions == [0]
    assert (one.frame != first).any()
    assert one.panel().notice == ()
    one.tick(0.5)
    assert episodes[0].actions == [0, 1, 2]
    assert one.panel().notice[1] == "3 steps, terminated"
    one.tick(EPISODE_END_SECONDS)
    assert len(episodes) == 1
    one.tick(0.25)
    assert len(episodes) == 2
    one.tick(10.0)
    assert one.replay.done
    assert one.panel().notice[:2] == ("Reproduced", "4 steps as recorded")


def test_a_replay_stops_and_goes_step_by_step(window: Any) -> None:
    one = Spectator(recorded(), fps=4.0)
    hands = Hands(window, one)
    actions = one.replay.playthrough.episode.actions
    hands.tap("space")
    one.tick(10.0)
    assert actions == []
    assert one.panel().status == "Stopped"
    hands.tap("right", "right")
    assert actions == [0, 1]
    hands.tap("space")
    one.tick(0.25)
    assert actions == [0, 1, 2]
    hands.tap("q")
    assert one.leaving


def test_a_replay_without_fps_waits_for_keys(window: Any) -> None:
    one = Spectator(recorded(), fps=0.0)
    hands = Hands(window, one)
    hands.tap("space")
    one.tick(10.0)
    hands.tap("right")
    assert one.replay.playthrough.episode.actions == [0]
    assert [names for names, _ in one.panel().keys] == [("right",), ("q", "escape")]


def test_a_difference_is_shown(window: Any) -> None:
    replay = recorded()
    replay.recording.episodes[0].rewards[1] += 1.0
    one = Spectator(replay, fps=4.0)
    one.tick(10.0)
    notice = one.panel().notice
    assert notice[0] == "Not reproduced"
    assert " ".join(notice[1:-1]) == replay.difference
    assert len(replay.playthrough.episode.actions) == 2


def test_running_ends_with_the_window_or_a_key(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        """Leaves with any key, and counts the time."""

        leaving = False
        frame = np.zeros((4, 4, 3), np.uint8)
        seconds = 0.0

        def panel(self) -> Any:
            return window.Panel("", "", [], [], "")

        def handle(self, key: Any) -> None:
            self.leaving = True

        def tick(self, seconds: float) -> None:
            self.seconds += seconds

    pygame = window.pygame
    for event in (pygame.event.Event(pygame.QUIT), pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a, unicode="a")):
        shown, waiting = window.PlayWindow("title", fps=1000), Waiting()
        waiting.leaving = False
        frames = []

        def flip(event: Any = event, frames: list[int] = frames) -> None:
            frames.append(1)
            if len(frames) == 5:
                pygame.event.post(event)

        monkeypatch.setattr(pygame.display, "flip", flip)
        run(shown, waiting)
        assert len(frames) == 5
        assert waiting.seconds > 0
        assert shown.closed == (event.type == pygame.QUIT)
        shown.close()
