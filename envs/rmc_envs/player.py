"""People before the window: one who plays with the keyboard, and one who watches a recording played again."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from rmc_envs.recording import Episode, Playthrough, Replay

if TYPE_CHECKING:
    from rmc_envs.window import Key, Panel, PlayWindow

EPISODE_END_SECONDS = 1.5
"""So long a replay shows the end of an episode."""
LONGEST_SECONDS = 0.25
"""More time than this between two pictures is not made up for: the machine slept."""

MOVES = {"up": ("up", "w"), "left": ("left", "a"), "down": ("down", "s"), "right": ("right", "d"), "stay": ("return",)}
"""Keys of the actions that have one by their meaning."""
LEAVE, RESTART, CLOCK, ONE_STEP = ("q", "escape"), ("r",), ("space",), ("right",)
OTHER_KEYS = [key for key in "0123456789abcdefghijklmnopqrstuvwxyz" if key not in (*LEAVE, *RESTART)]
"""Keys of all other actions, in their order."""

KeyLine = tuple[Sequence[str], str]
"""Names of keys, and what they do."""


def assign_keys(action_names: Sequence[str]) -> list[tuple[str, ...]]:
    """The keys of each action.

    Raises:
        ValueError: there are not enough.
    """
    taken = {key for name in action_names for key in MOVES.get(name, ())}
    free = [key for key in OTHER_KEYS if key not in taken]
    others = [name for name in action_names if name not in MOVES]
    if len(others) > len(free):
        raise ValueError(f"{len(action_names)} actions are too many for a keyboard: at most {len(free)}")
    keys = iter(free)
    return [MOVES[name] if name in MOVES else (next(keys),) for name in action_names]


class Show(Protocol):
    """What a window shows, and what obeys its keys."""

    leaving: bool
    frame: np.ndarray

    def panel(self) -> "Panel":
        """What stands beside the frame."""

    def handle(self, key: "Key") -> None:
        """Obey a key."""

    def tick(self, seconds: float) -> None:
        """Let time pass."""


class Player:
    """A person at play.

    Arguments:
        playthrough: what is played.
        fps: steps per second of a game that can run by a clock; 0 to let it wait for keys.
    """

    def __init__(self, playthrough: Playthrough, fps: float) -> None:
        self.playthrough = playthrough
        self.leaving = False
        self._fps = fps
        names = playthrough.env.action_names
        keys = assign_keys(names)
        self._actions = {key: action for action, of_action in enumerate(keys) for key in of_action}
        self._stay = names.index("stay") if "stay" in names else -1
        self._has_clock = self._stay >= 0 and fps > 0
        self._lines: list[KeyLine] = [*_action_lines(names, keys), (RESTART, "restart")]
        if self._has_clock:
            self._lines.append((CLOCK, "stop the clock, go on"))
        self._lines.append((LEAVE, "leave"))
        self._held: list[str] = []  # keys of actions, in the order of pressing
        self._tapped: str | None = None  # the last of them that went down since the last step
        self._due = 0.0  # steps to be played, fractions included
        self._clock: Literal["ready", "running", "stopped"]
        self._begin()

    def handle(self, key: "Key") -> None:
        """Obey a key."""
        if key.name in self._actions:
            self._handle_action(key)
        elif key.down and key.name in LEAVE:
            self.leaving = True
        elif key.down and key.name in RESTART and not key.repeated:
            if self.playthrough.episode.actions:
                self.playthrough.restart()
            self._begin()
        elif key.down and key.name in CLOCK and self._has_clock and not key.repeated:
            self._clock = "running" if self._clock == "stopped" else "stopped"

    def tick(self, seconds: float) -> None:
        """Let time pass: while the clock runs, a step is the last key pressed, the key held down, or staying."""
        if self._clock != "running" or self.playthrough.over:
            return
        self._due += seconds * self._fps
        while self._due >= 1 and not self.playthrough.over:
            self._due -= 1
            key = self._tapped or (self._held[-1] if self._held else None)
            self._tapped = None
            self._step(self._stay if key is None else self._actions[key])

    def panel(self) -> "Panel":
        """Score, steps and keys; at an episode's end a notice."""
        from rmc_envs.window import Panel

        episode = self.playthrough.episode
        figures = _figures(self.playthrough)
        ended = [before.score for before in self.playthrough.episodes if before.end != "left"]
        if ended:
            figures.append(("best score", number(max(ended))))
        status = {
            "ready": "Press a key to begin",
            "running": f"{self._fps:g} steps a second",
            "stopped": "Each key is one step",
        }[self._clock]
        notice: Sequence[str] = ()
        if self.playthrough.over:
            status = ""
            notice = (f"Score {number(episode.score)}", summary(episode), "R to play again, Q to leave")
        return Panel(title(self.playthrough), number(episode.score), figures, self._lines, status, notice)

    def _begin(self) -> None:
        self._clock = "ready" if self._has_clock else "stopped"
        self._due = 0.0
        self._tapped = None
        self.frame = self.playthrough.frame()

    def _handle_action(self, key: "Key") -> None:
        if not key.repeated:
            if key.name in self._held:
                self._held.remove(key.name)
            if key.down:
                self._held.append(key.name)
        if not key.down or self.playthrough.over:
            return
        if self._clock == "stopped":
            self._step(self._actions[key.name])
        elif not key.repeated:
            self._tapped = key.name
            if self._clock == "ready":
                self._clock, self._due = "running", 1.0

    def _step(self, action: int) -> None:
        self.playthrough.step(action)
        self.frame = self.playthrough.frame()


class Spectator:
    """A person who watches a replay.

    Arguments:
        replay: what is shown.
        fps: steps per second; 0 to let it wait for keys.
    """

    def __init__(self, replay: Replay, fps: float) -> None:
        self.replay = replay
        self.leaving = False
        self.frame = replay.playthrough.frame()
        self._fps = fps
        self._running = fps > 0
        self._due = 0.0
        self._total = sum(len(episode.actions) for episode in replay.recording.episodes)

    def handle(self, key: "Key") -> None:
        """Obey a key."""
        if not key.down:
            return
        if key.name in LEAVE:
            self.leaving = True
        elif key.name in CLOCK and self._fps > 0 and not key.repeated:
            self._running = not self._running
        elif key.name in ONE_STEP:
            self._running = False
            self._advance()

    def tick(self, seconds: float) -> None:
        """Let time pass: the replay takes the steps that are due."""
        if not self._running:
            return
        self._due += seconds * self._fps
        while self._due >= 1 and not self.replay.done:
            self._due -= 1
            self._advance()
            if self.replay.playthrough.over:
                self._due = -EPISODE_END_SECONDS * self._fps

    def panel(self) -> "Panel":
        """Score, steps and keys; at the end whether the game came out the same."""
        from rmc_envs.window import Panel

        playthrough = self.replay.playthrough
        episode = playthrough.episode
        lines: list[KeyLine] = [(ONE_STEP, "one step"), (LEAVE, "leave")]
        if self._fps > 0:
            lines.insert(0, (CLOCK, "stop, go on"))
        notice: Sequence[str] = ()
        status = f"{self._fps:g} steps a second" if self._running else "Stopped"
        if self.replay.done:
            status = ""
        if self.replay.difference is not None:
            notice = ("Not reproduced", *textwrap.wrap(self.replay.difference, 44), "Q to leave")
        elif self.replay.done:
            notice = ("Reproduced", f"{self._total} steps as recorded", "Q to leave")
        elif playthrough.over:
            notice = (f"Score {number(episode.score)}", summary(episode))
        name = f"Replay: {title(playthrough)}"
        return Panel(name, number(episode.score), _figures(playthrough), lines, status, notice)

    def _advance(self) -> None:
        self.replay.advance()
        self.frame = self.replay.playthrough.frame()


def run(window: "PlayWindow", show: Show) -> None:
    """Show it until its window is closed or a key says so."""
    while not window.closed and not show.leaving:
        window.show_play(show.frame, show.panel())
        for key in window.take_keys():
            show.handle(key)
        show.tick(min(window.elapsed, LONGEST_SECONDS))


def _action_lines(names: Sequence[str], keys: Sequence[Sequence[str]]) -> list[KeyLine]:
    """A line for each action; many that have no direction share one."""
    others = [action for action, name in enumerate(names) if name not in MOVES]
    lines = [(keys[action], name) for action, name in enumerate(names) if name in MOVES]
    if len(others) <= 6:
        return lines + [(keys[action], names[action]) for action in others]
    first, last = others[0], others[-1]
    return [*lines, ((*keys[first], "…", *keys[last]), f"{names[first]} … {names[last]}")]


def _figures(playthrough: Playthrough) -> list[tuple[str, str]]:
    episode = playthrough.episode
    last_reward = episode.rewards[-1] if episode.rewards else 0.0
    return [
        ("steps", str(len(episode.actions))),
        ("last reward", f"{last_reward:+.3g}" if last_reward else "0"),
        ("episode", str(len(playthrough.episodes))),
        ("seed", str(playthrough.seed)),
    ]


def title(playthrough: Playthrough) -> str:
    """The game's name for people."""
    return playthrough.env_id.partition("/")[2].rpartition("-")[0]


def summary(episode: Episode) -> str:
    """How long an episode was, and how it ended."""
    steps = len(episode.actions)
    return f"{steps} {'step' if steps == 1 else 'steps'}, {episode.end}"


def number(value: float) -> str:
    """A score without the noise of adding up tenths."""
    return f"{round(value, 3) + 0.0:.10g}"
