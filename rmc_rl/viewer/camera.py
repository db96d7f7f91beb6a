"""Pictures and videos of a window, written to the working directory."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pygame

from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.viewer.capture import Capture
from rmc_rl.viewer.step import Step


class Camera:
    """Saves what is shown to it; of what went wrong it tells, and the window goes on.

    Args:
        game: whose name the files begin with.
        tell: takes a message for the person at the window.
    """

    def __init__(self, game: str, tell: Callable[[str], None]) -> None:
        self._game = re.sub(r"[^\w.-]+", "-", game)  # a run from elsewhere may say any name
        self._tell = tell
        self._capture: Capture | None = None

    @property
    def filming(self) -> bool:
        """Whether a video is being made."""
        return self._capture is not None

    def save(self, surface: pygame.Surface, step: Step) -> None:
        """Write a picture."""
        path = self._free(step, ".png")
        try:
            pygame.image.save(surface, str(path))
        except (pygame.error, OSError) as error:
            with suppress(OSError):
                path.unlink()  # on a full disk a part of it is there
            self._tell(f"{path} cannot be written: {error}")
        else:
            self._tell(f"saved {path}")

    def begin(self, surface: pygame.Surface, step: Step) -> None:
        """Begin a video."""
        path = self._free(step, ".mp4")
        try:
            self._capture = Capture(path, surface)
        except (UserError, OSError) as error:
            self._tell(f"{path} cannot be written: {error}")

    def show(self, surface: pygame.Surface) -> None:
        """Show the picture to the video that is being made, and then mark that one is."""
        if self._capture is None:
            return
        if surface.get_size() != self._capture.size:
            self.end()
            return
        self._capture.show(surface)
        pygame.draw.circle(surface, palette.VERMILION, (9, 9), 5)

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        if self._capture is not None:
            self._do(self._capture, lambda capture: capture.tick(seconds))

    def end(self) -> None:
        """End the video that is being made."""
        if self._capture is not None:
            path = self._capture.path
            if self._do(self._capture, Capture.finish):
                self._tell(f"saved {path}")
            self._capture = None

    def _do(self, capture: Capture, what: Callable[[Capture], None]) -> bool:
        """Do something with the video, and give it up where that fails; whether it went well."""
        try:
            what(capture)
        except OSError as error:
            self._tell(f"{capture.path} cannot be written: {error}")
            self._capture = None
            return False
        return True

    def _free(self, step: Step, suffix: str) -> Path:
        """A name that is not taken: of one step there may be several pictures, of each head one."""
        name = f"{self._game}-seed{step.seed}-step{step.number}"
        names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
        return next(path for path in (Path(each + suffix) for each in names) if not path.exists())
