"""The viewer's window: an event loop that lets the agent, or a person, act and obeys keys and mouse."""

from __future__ import annotations

import time
from collections.abc import Callable

import pygame

from rmc_agents.actions import Discrete
from rmc_rl.viewer.camera import Camera
from rmc_rl.viewer.history import History
from rmc_rl.viewer.keys import DIGITS, FASTER, REPEATING, SLOWER, STEPS, PersonKeys
from rmc_rl.viewer.panels import Panels, Status
from rmc_rl.viewer.person import Person
from rmc_rl.viewer.screen import open_display
from rmc_rl.viewer.selection import Selection
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
        self._camera = Camera(session.policy.config.env.name, self._tell)
        self._message, self._message_left = "h lists the keys", MESSAGE_SECONDS
        open_display(size, panels.caption.title)
        self._take(session.advance())

    @property
    def step(self) -> Step:
        """The step that is shown."""
        return self.history.step

    @property
    def _waits(self) -> bool:
        """Whether the game stands still until a person moves."""
        return self.person is not None and self.person.keys.nothing is None and self.history.at_latest

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
        if self._camera.filming:
            self._camera.end()
            print(self._message, flush=True)  # the window cannot tell any more
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
        self._camera.tick(seconds)
        if self.paused or self._prompt is not None:
            return
        if self._hold > 0:
            self._hold -= seconds
            return
        self._due += seconds * self.speed
        stop = time.perf_counter() + ACTING_SECONDS
        while self._due >= 1 and self._hold <= 0 and self.open and not self.paused:
            self._due -= 1
            if self._waits:  # for a person, when what was recorded has been shown again
                self.paused = True
                break
            self._forward(None if self.person is None else self.person.choose())
            if time.perf_counter() > stop:
                self._due %= 1  # faster than this machine can: what is late is dropped

    def draw(self) -> None:
        """Bring the window up to date; nothing is drawn where nothing has changed."""
        surface = pygame.display.get_surface()
        status = self._status()
        place = (self.step.episode, self.step.number, self.step.by_person, len(self.history.timeline))
        content = (place, status, self.panels.selection, self._camera.filming, surface.get_size())
        if content != self._drawn:
            self.panels.draw(surface, self.step, self.history.timeline, status)
            self._drawn = content
            self._camera.show(surface)
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
            self._select(selection.next_head, -1 if modifiers & pygame.KMOD_SHIFT else 1)
        elif key in DIGITS:
            self._select(selection.at_head, DIGITS[key])
        elif key == pygame.K_b:
            self._select(selection.next_block)
        elif key == pygame.K_v:
            if self._camera.filming:
                self._camera.end()
            else:
                self._camera.begin(pygame.display.get_surface(), self.step)
        elif key == pygame.K_s:
            self._camera.save(pygame.display.get_surface(), self.step)
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
        """Begin another episode; past the last one the window closes, unless its seed was asked for."""
        self.history.latest()
        if seed is None and self.episodes is not None and self.step.episode + 1 >= self.episodes:
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
        if count < 0:
            if not self._look(self.history.move, count):
                self._tell("no earlier step is kept")
            return
        for _ in range(count):
            if self.person is not None and self.history.at_latest:
                self._tell("this is where you play")
                return
            self._forward()

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
        if self._waits:
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
            self._tell("nobody can take over: keys cannot choose actions that are continuous or of several parts")
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

    def _select(self, selected: Callable[..., Selection], *which: int) -> None:
        try:
            self.panels.selection = selected(self.step.attention, *which)
        except ValueError as error:
            self._tell(str(error))

    def _click(self, place: tuple[int, int]) -> None:
        track = self.panels.track
        if track.box.collidepoint(place):
            self._scrubbing = True
            self._look(self.history.seek, track.step_at(place[0]))
        for box, selection in self.panels.targets:
            if box.collidepoint(place):
                self.panels.selection = selection

    def _tell(self, message: str) -> None:
        self._message, self._message_left = message, MESSAGE_SECONDS
