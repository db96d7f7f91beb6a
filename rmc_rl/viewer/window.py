"""The viewer's window: an event loop that lets the agent, or a person, act and obeys keys and mouse."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pygame

from rmc_agents.actions import Discrete
from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.viewer.capture import Capture
from rmc_rl.viewer.history import History
from rmc_rl.viewer.keys import DIGITS, FASTER, REPEATING, SLOWER, STEPS, PersonKeys
from rmc_rl.viewer.panels import Panels, Status
from rmc_rl.viewer.person import Person
from rmc_rl.viewer.screen import open_display
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import EPISODE_END_SECONDS, Step

FRAMES_PER_SECOND = 60
ACTING_SECONDS = 0.02
"""The agent acts so long at most between two pictures, so that the window stays quick at any speed."""

MESSAGE_SECONDS = 4.0
SPEEDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)
"""Steps per second that the keys choose from."""

MOST_DIGITS = 18
"""Of a seed that is typed."""


class Window:
    """Shows an agent at play until it is closed or the episodes are over.

    Args:
        session: what is played.
        panels: what draws it.
        speed: steps per second at the start.
        size: of the window in pixels; it is made smaller where the screen is.
        episodes: close after so many; None: go on for ever.
        ended: told the last step of each episode that was played to its end.

    Raises:
        UserError: there is no display.
    """

    def __init__(
        self,
        session: Session,
        panels: Panels,
        *,
        speed: float,
        size: tuple[int, int],
        episodes: int | None = None,
        ended: Callable[[Step], None] = lambda step: None,
    ) -> None:
        self.session = session
        self.panels = panels
        self.speed = speed
        self.episodes = episodes
        self.paused = False
        self.help = False
        self.open = True
        self.history = History()
        self.person: Person | None = None  # while one plays
        self._ended = ended
        self._due = 0.0  # steps to be played, fractions included
        self._hold = 0.0  # seconds that the end of an episode still stays
        self._drawn: object = None
        self._down: set[int] = set()
        self._scrubbing = False
        self._prompt: str | None = None  # the seed that is being typed
        self._capture: Capture | None = None
        self._message, self._message_left = "h lists the keys", MESSAGE_SECONDS
        open_display(size, panels.caption.title)
        self._take(session.advance())

    @property
    def step(self) -> Step:
        """The step that is shown."""
        return self.history.step

    def run(self) -> None:
        """Play until the window is closed."""
        clock = pygame.time.Clock()
        while self.open:
            elapsed = clock.tick(FRAMES_PER_SECOND) / 1000
            for event in pygame.event.get():
                self.handle(event)
            self.tick(min(elapsed, 0.25))  # time that the machine slept is not made up for
            self.draw()

    def close(self) -> None:
        """Close the window."""
        self.open = False
        self._end_video()
        pygame.display.quit()

    def handle(self, event: pygame.event.Event) -> None:
        """Obey one event."""
        if event.type == pygame.QUIT:
            self.open = False
        elif event.type == pygame.WINDOWEXPOSED:
            self._drawn = None  # something lay over the window
        elif event.type == pygame.KEYUP:
            self._down.discard(event.key)
            if self.person is not None:
                self.person.release(event.key)
        elif event.type == pygame.KEYDOWN:
            held = event.key in self._down
            self._down.add(event.key)
            if self._prompt is not None:
                self._type(event.key)
            elif self.person is not None and event.key in self.person.keys.actions:
                self._move(event.key, held)
            elif not held or event.key in REPEATING:
                self._key(event.key, event.unicode, event.mod if hasattr(event, "mod") else 0)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._click(event.pos)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            self._scrubbing = False
        elif event.type == pygame.MOUSEMOTION and self._scrubbing:
            self._look(self.history.seek, self.panels.track.step_at(event.pos[0]))

    def tick(self, seconds: float) -> None:
        """Let time pass: the steps that are due are taken."""
        self._message_left -= seconds
        if self._message_left <= 0:
            self._message = ""
        if self._capture is not None:
            self._on_video(lambda capture: capture.tick(seconds))
        if self.paused or self._prompt is not None:
            return
        if self._hold > 0:
            self._hold -= seconds
            return
        self._due += seconds * self.speed
        stop = time.perf_counter() + ACTING_SECONDS
        while self._due >= 1 and self._hold <= 0 and self.open and not self.paused:
            self._due -= 1
            self._forward(None if self.person is None else self.person.choose())
            if time.perf_counter() > stop:
                self._due %= 1  # faster than this machine can: what is late is dropped

    def draw(self) -> None:
        """Bring the window up to date; nothing is drawn where nothing has changed."""
        surface = pygame.display.get_surface()
        status = self._status()
        place = (self.step.episode, self.step.number, self.step.by_person, len(self.history.timeline))
        content = (place, status, self.panels.selection, self._capture, surface.get_size())
        if content != self._drawn:
            self.panels.draw(surface, self.step, self.history.timeline, status)
            self._drawn = content
            if self._capture is not None:
                self._film(surface)
            pygame.display.flip()

    def _status(self) -> Status:
        prompt = None
        if self._prompt is not None:
            prompt = f"seed: {self._prompt or self.step.seed}   (enter plays it, Esc does not)"
        return Status(
            self.speed,
            self.paused,
            self.session.greedy,
            self.help,
            self._message,
            None if self.person is None else self.person.keys.names,
            self.history.since,
            prompt,
        )

    def _key(self, key: int, character: str, modifiers: int) -> None:
        selection = self.panels.selection
        if key in (pygame.K_q, pygame.K_ESCAPE):
            self.open = False
        elif key == pygame.K_SPACE:
            self._pause()
        elif key in STEPS:
            self._step_by(STEPS[key])
        elif key == pygame.K_HOME:
            self._look(self.history.seek, 0)
        elif key == pygame.K_END:
            self._look(self.history.latest)
        elif key in FASTER or character == "+":
            self.speed = next((speed for speed in SPEEDS if speed > self.speed), self.speed)
        elif key in SLOWER or character == "-":
            self.speed = next((speed for speed in reversed(SPEEDS) if speed < self.speed), self.speed)
        elif key == pygame.K_n:
            self._next_episode()
        elif key == pygame.K_p:
            self._previous_episode()
        elif key == pygame.K_r:
            self._prompt = ""
        elif key == pygame.K_g:
            self.session.greedy = not self.session.greedy
        elif key == pygame.K_t:
            self._change_hands()
        elif key == pygame.K_a:
            back = -1 if modifiers & pygame.KMOD_SHIFT else 1
            self._select_head(0 if selection.head is None else selection.head + 1, back)
        elif key in DIGITS:
            self._select_head(DIGITS[key])
        elif key == pygame.K_b:
            self._select_block()
        elif key == pygame.K_v:
            self._video()
        elif key == pygame.K_s:
            self._save()
        elif key in (pygame.K_h, pygame.K_F1) or character == "?":
            self.help = not self.help

    # Going on and looking back

    def _forward(self, action: int | None = None) -> None:
        """On to the next step: a recorded one, or one that is played now; with this action, where a person chose it."""
        if not self.history.at_latest:
            self.history.move(1)
            self._hold = EPISODE_END_SECONDS if self.step.ending else 0.0
        elif self.step.ending:
            self._new_episode()
        else:
            if action is not None:
                self.history.amend(self.session.decide(action))
            self._take(self.session.advance())

    def _new_episode(self, seed: int | None = None) -> None:
        """Begin another episode; past the last one the window closes."""
        self.history.latest()
        if self.step.episode + 1 == self.episodes:
            self.open = False
            return
        self._take(self.session.next_episode(seed))
        self.paused = self.paused or self.person is not None  # who plays begins when ready

    def _take(self, step: Step) -> None:
        self.history.add(step)
        self._hold = EPISODE_END_SECONDS if step.ending else 0.0
        if step.ending:
            self._ended(step)

    def _step_by(self, count: int) -> None:
        self.paused = True
        for _ in range(count):
            self._forward()
        if count < 0 and not self.history.move(count):
            self._tell("no earlier step is kept")

    def _look(self, go: Callable[..., bool], *where: int) -> bool:
        """Stand elsewhere in what was recorded, and pause there."""
        self.paused = True
        self._hold = 0.0
        return go(*where)

    def _next_episode(self) -> None:
        if not self.history.move_episode(1):
            self._new_episode()

    def _previous_episode(self) -> None:
        if not self._look(self.history.move_episode, -1):
            self._tell("no earlier episode is kept")

    def _pause(self) -> None:
        if self.person is not None and self.person.keys.nothing is None and self.history.at_latest:
            self._tell("this game waits for your moves: it has no action that lets time pass")
        else:
            self.paused = not self.paused

    def _type(self, key: int) -> None:
        """A key while a seed is typed."""
        assert self._prompt is not None
        if key in DIGITS:
            self._prompt = (self._prompt + str(DIGITS[key]))[:MOST_DIGITS]
        elif key == pygame.K_BACKSPACE:
            self._prompt = self._prompt[:-1]
        elif key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            seed = int(self._prompt or self.step.seed)
            self._prompt = None
            self._new_episode(seed)
        elif key == pygame.K_ESCAPE:
            self._prompt = None

    # A person at play

    def _change_hands(self) -> None:
        if self.person is not None:
            self.paused, self.person = self.person.was_paused, None
            self._tell("the agent plays")
        elif not isinstance(self.session.policy.agent.actions, Discrete):
            self._tell("nobody can take over: keys cannot choose actions that are not one of a few")
        else:
            try:
                keys = PersonKeys.of(self.session.action_names)
            except ValueError as error:
                self._tell(f"nobody can take over: {error}")
                return
            self.person = Person(keys, was_paused=self.paused)
            self._look(self.history.latest)
            self._tell("you play" + ("; space lets the game run" if keys.nothing is not None else ""))

    def _move(self, key: int, held: bool) -> None:
        """A key of an action: a move where the game waits, otherwise what the next step will be."""
        assert self.person is not None
        if not self.history.at_latest:
            self._look(self.history.latest)
            self._tell("this is where you play")
        elif self.step.ending:
            if not held:
                self._new_episode()
        elif self.paused:
            self._forward(self.person.keys.actions[key])
        else:
            self.person.press(key)

    # Attention, by keys and mouse

    def _select_head(self, number: int, on: int = 0) -> None:
        """Show head `number` of 1 … H, 0 for the mean of all; or the one so many further on, round and round."""
        attention = self.step.attention
        if attention is None:
            self._tell("this memory does not attend")
            return
        heads = attention.shape[1]
        number = (number + on) % (heads + 1) if on else number
        if number > heads:
            self._tell(f"there is no head {number}: 1 to {heads}, 0 for the mean of all")
            return
        self.panels.selection = replace(self.panels.selection, head=number - 1 if number else None)

    def _select_block(self) -> None:
        attention, selection = self.step.attention, self.panels.selection
        blocks = 0 if attention is None else len(attention)
        if blocks < 2:
            self._tell("this memory has one block of attention" if blocks else "this memory does not attend")
            return
        last = blocks - 1 if selection.block is None else selection.block
        self.panels.selection = replace(selection, block=(last + 1) % blocks)

    def _click(self, place: tuple[int, int]) -> None:
        track = self.panels.track
        if track.box.collidepoint(place):
            self._scrubbing = True
            self._look(self.history.seek, track.step_at(place[0]))
        for box, selection in self.panels.targets:
            if box.collidepoint(place):
                self.panels.selection = selection

    # Files and messages

    def _file(self, suffix: str) -> Path:
        name = self.session.policy.config.env.name
        return Path(f"{name}-seed{self.step.seed}-step{self.step.number}{suffix}")

    def _save(self) -> None:
        path = self._file(".png")
        try:
            pygame.image.save(pygame.display.get_surface(), str(path))
        except (pygame.error, OSError) as error:
            self._tell(f"{path} cannot be written: {error}")
        else:
            self._tell(f"saved {path}")

    def _video(self) -> None:
        """Begin a video, or end the one that is being made."""
        if self._capture is not None:
            self._end_video()
            return
        path = self._file(".mp4")
        try:
            self._capture = Capture(path, pygame.display.get_surface())
        except (UserError, OSError) as error:
            self._tell(f"{path} cannot be written: {error}")

    def _end_video(self) -> None:
        if self._capture is not None:
            path = self._capture.path
            if self._on_video(Capture.finish):
                self._tell(f"saved {path}")
            self._capture = None

    def _film(self, surface: pygame.Surface) -> None:
        """Show the picture to the video that is being made, and then mark that one is."""
        assert self._capture is not None
        if surface.get_size() != self._capture.size:
            self._end_video()
            return
        self._capture.show(surface)
        pygame.draw.circle(surface, palette.VERMILION, (9, 9), 5)

    def _on_video(self, do: Callable[[Capture], None]) -> bool:
        """Do something with the video, and give it up where that fails; whether it went well."""
        assert self._capture is not None
        try:
            do(self._capture)
        except OSError as error:
            self._tell(f"{self._capture.path} cannot be written: {error}")
            self._capture = None
            return False
        return True

    def _tell(self, message: str) -> None:
        self._message, self._message_left = message, MESSAGE_SECONDS
