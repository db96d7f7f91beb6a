"""The viewer's window: an event loop that lets the agent act at its speed and obeys the keys."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pygame

from rmc_rl.errors import UserError
from rmc_rl.viewer.panels import Panels, Status
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import EPISODE_END_SECONDS, Step, Timeline

FRAMES_PER_SECOND = 60
ACTING_SECONDS = 0.02
"""The agent acts so long at most between two pictures, so that the window stays quick at any speed."""

MESSAGE_SECONDS = 4.0
SPEEDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)
"""Steps per second that the keys choose from."""

FASTER = (pygame.K_UP, pygame.K_PLUS, pygame.K_KP_PLUS)
SLOWER = (pygame.K_DOWN, pygame.K_MINUS, pygame.K_KP_MINUS)
ONE_STEP = (pygame.K_RIGHT, pygame.K_PERIOD)
REPEATING = (*FASTER, *SLOWER, *ONE_STEP)
"""Keys that act again and again while they are held down."""


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
        self._ended = ended
        self._due = 0.0  # steps to be played, fractions included
        self._hold = 0.0  # seconds that the end of an episode still stays
        self._timeline = Timeline()
        self._drawn: object = None
        self._down: set[int] = set()
        self._message, self._message_left = "h lists the keys", MESSAGE_SECONDS
        _open_display(size, panels.caption.title)
        self._take(session.advance())

    @property
    def step(self) -> Step:
        """The step that is shown."""
        return self._step

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
        pygame.display.quit()

    def handle(self, event: pygame.event.Event) -> None:
        """Obey one event."""
        if event.type == pygame.QUIT:
            self.open = False
        elif event.type == pygame.KEYUP:
            self._down.discard(event.key)
        elif event.type == pygame.KEYDOWN:
            held = event.key in self._down
            self._down.add(event.key)
            if not held or event.key in REPEATING:
                self._key(event.key, event.unicode)

    def tick(self, seconds: float) -> None:
        """Let time pass: the agent takes the steps that are due."""
        self._message_left -= seconds
        if self._message_left <= 0:
            self._message = ""
        if self.paused:
            return
        if self._hold > 0:
            self._hold -= seconds
            return
        self._due += seconds * self.speed
        stop = time.perf_counter() + ACTING_SECONDS
        while self._due >= 1 and self._hold <= 0 and self.open:
            self._due -= 1
            self._forward()
            if time.perf_counter() > stop:
                self._due %= 1  # faster than this machine can: what is late is dropped

    def draw(self) -> None:
        """Bring the window up to date; nothing is drawn where nothing has changed."""
        surface = pygame.display.get_surface()
        status = Status(self.speed, self.paused, self.session.greedy, self.help, self._message)
        content = (self._step.episode, self._step.number, status, surface.get_size())
        if content != self._drawn:
            self.panels.draw(surface, self._step, self._timeline, status)
            self._drawn = content
        pygame.display.flip()

    def _key(self, key: int, character: str) -> None:
        if key in (pygame.K_q, pygame.K_ESCAPE):
            self.open = False
        elif key == pygame.K_SPACE:
            self.paused = not self.paused
        elif key in ONE_STEP:
            self.paused = True
            self._forward()
        elif key in FASTER or character == "+":
            self.speed = next((speed for speed in SPEEDS if speed > self.speed), self.speed)
        elif key in SLOWER or character == "-":
            self.speed = next((speed for speed in reversed(SPEEDS) if speed < self.speed), self.speed)
        elif key == pygame.K_n:
            self._forward(skip=True)
        elif key == pygame.K_g:
            self.session.greedy = not self.session.greedy
        elif key == pygame.K_s:
            self._save()
        elif key in (pygame.K_h, pygame.K_F1) or character == "?":
            self.help = not self.help

    def _forward(self, skip: bool = False) -> None:
        """On to the next step, or to the next episode; past the last episode the window closes."""
        if (skip or self._step.ending) and self._step.episode + 1 == self.episodes:
            self.open = False
            return
        self._take(self.session.next_episode() if skip else self.session.advance())

    def _take(self, step: Step) -> None:
        self._step = step
        self._timeline.add(step)
        self._hold = EPISODE_END_SECONDS if step.ending else 0.0
        if step.ending:
            self._ended(step)

    def _save(self) -> None:
        path = Path(f"{self.session.policy.config.env.name}-seed{self._step.seed}-step{self._step.number}.png")
        try:
            pygame.image.save(pygame.display.get_surface(), str(path))
        except (pygame.error, OSError) as error:
            self._tell(f"{path} cannot be written: {error}")
        else:
            self._tell(f"saved {path}")

    def _tell(self, message: str) -> None:
        self._message, self._message_left = message, MESSAGE_SECONDS


def _open_display(size: tuple[int, int], title: str) -> None:
    remedy = "record=out.gif (or out.mp4) makes a recording without one"
    variables = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in variables):
        raise UserError(f"there is no display to open a window on (DISPLAY is not set): {remedy}")
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver == "offscreen" and not os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("the display does not answer")  # SDL falls back to a window that nobody sees
        widths, heights = zip(*pygame.display.get_desktop_sizes(), strict=True)
        fitting = (min(size[0], max(widths)), min(size[1], max(heights)))
        pygame.display.set_mode(fitting, pygame.RESIZABLE)
    except pygame.error as error:
        pygame.display.quit()
        raise UserError(f"no window can be opened ({error}): {remedy}") from error
    pygame.display.set_caption(f"{title} · rmc-rl")
    pygame.key.set_repeat(350, 60)
