"""A video of what a window shows, from a key press to the next."""

from __future__ import annotations

import os
from pathlib import Path

import pygame
from pygame import Rect

from rmc_rl.viewer.encoder import check_encoder, encoder

PICTURES_PER_SECOND = 30


class Capture:
    """Writes what it is shown to a file, at the pace of the clock; the file appears under its name in the end.

    Args:
        path: ends in .mp4; what is there is replaced in the end.
        surface: what is shown at first; all pictures are as large, but for an odd row or column.

    Raises:
        UserError: there is no FFmpeg that can write it.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, surface: pygame.Surface) -> None:
        check_encoder(path.suffix)
        self.path = path
        self.size = surface.get_size()
        self._part = Rect(0, 0, self.size[0] // 2 * 2, self.size[1] // 2 * 2)
        self._unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
        self._unfinished.touch()
        self._encoder = encoder(self._unfinished, self._part.size, PICTURES_PER_SECOND)
        self._send = self._encoder.__enter__()
        self._due = 1.0  # pictures to be written, fractions included
        self.show(surface)

    def show(self, surface: pygame.Surface) -> None:
        """From now on this is seen, a surface of the first one's size."""
        self._picture = pygame.image.tobytes(surface.subsurface(self._part), "RGB")

    def tick(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            OSError: writing failed; nothing is left of the file.
        """
        self._due += seconds * PICTURES_PER_SECOND
        try:
            while self._due >= 1:
                self._due -= 1
                self._send(self._picture)
        except OSError as error:
            try:
                self._encoder.__exit__(type(error), error, error.__traceback__)  # it says why
            finally:
                self._unfinished.unlink(missing_ok=True)
            raise

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OSError: writing failed; nothing is left of it.
        """
        try:
            self.tick(1 / PICTURES_PER_SECOND)  # what was shown last is seen, however short the video is
            self._encoder.__exit__(None, None, None)
            self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)
