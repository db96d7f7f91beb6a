"""Writes episodes to a GIF or MP4 file. Needs no display: everything is drawn on a surface in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygame

from rmc_rl.errors import UserError
from rmc_rl.viewer.encoder import encoder
from rmc_rl.viewer.panels import Panels, Status
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import EPISODE_END_SECONDS, Step, Timeline

SUFFIXES = (".gif", ".mp4")
FASTEST_GIF = 50.0
"""A GIF counts hundredths of a second, and players slow down what is shorter than two."""


@dataclass(frozen=True)
class Recording:
    """What was written.

    Attributes:
        path: the file.
        frames: pictures in it.
        endings: the last step of each episode.
    """

    path: Path
    frames: int
    endings: list[Step]


def check_target(path: Path, speed: float) -> None:
    """Refuse early what cannot be recorded.

    Raises:
        UserError: an unknown suffix, a speed the format does not have, or a folder that cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"record={path}: the name must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".gif" and speed > FASTEST_GIF:
        raise UserError(f"speed={speed:g}: a GIF shows {FASTEST_GIF:g} steps per second at most; record to .mp4")
    if path.is_dir():
        raise UserError(f"record={path} is a folder: name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as trial:
            trial.touch()
    except OSError as error:
        raise UserError(
            f"record={path}: {path.parent} cannot be written ({error.strerror or error}): name another folder"
        ) from error


def record(
    session: Session,
    panels: Panels,
    path: Path,
    *,
    size: tuple[int, int],
    speed: float,
    episodes: int = 1,
    progress: Callable[[Step], None] = lambda step: None,
) -> Recording:
    """Play episodes and write one picture for each step, the last of an episode held for a while.

    The file appears under its name when it is complete; an interruption leaves what was there before.

    Args:
        session: what is played.
        panels: what draws it.
        path: ends in .gif or .mp4.
        size: of the picture in pixels; odd numbers are made even, as MP4 needs them.
        speed: pictures per second.
        episodes: how many.
        progress: told every step that has been drawn.

    Raises:
        UserError: the file cannot be written.
    """
    check_target(path, speed)
    size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    surface = pygame.Surface(size)
    timeline = Timeline()
    status = Status(speed, greedy=session.greedy)
    held = max(1, round(EPISODE_END_SECONDS * speed))
    frames = 0
    endings: list[Step] = []
    with _temporary(path) as unfinished:
        try:
            with encoder(unfinished, size, speed) as send:
                while len(endings) < episodes:
                    step = session.advance()
                    timeline.add(step)
                    panels.draw(surface, step, timeline, status)
                    picture = pygame.image.tobytes(surface, "RGB")
                    for _ in range(1 + (held if step.ending else 0)):
                        send(picture)
                        frames += 1
                    if step.ending:
                        endings.append(step)
                    progress(step)
            unfinished.replace(path)
        except OSError as error:
            raise UserError(f"record={path}: writing failed: {error}") from error
    return Recording(path, frames, endings)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path` for the unfinished file, which is gone afterwards."""
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix.lower()}")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)
