"""Writes episodes to a GIF, MP4 or WebM file. Needs no display: everything is drawn on a surface in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygame

from rmc_rl.errors import UserError
from rmc_rl.output import check_name
from rmc_rl.viewer.encoder import LIBRARIES, check_encoder, encoder
from rmc_rl.viewer.panels import Panels, Status
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import EPISODE_END_SECONDS, Step, Timeline

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
        UserError: an unknown suffix, a folder, a format that FFmpeg cannot write here, a speed the format does not
            have, or a place that cannot be written.
    """
    check_name("record", path, tuple(LIBRARIES))
    suffix = path.suffix.lower()
    check_encoder(suffix)
    if suffix == ".gif" and speed > FASTEST_GIF:
        raise UserError(f"speed={speed:g}: a GIF shows {FASTEST_GIF:g} steps per second at most; record to .mp4")
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
        path: ends in .gif, .mp4 or .webm.
        size: of the picture in pixels; odd numbers are made even, as the formats need them.
        speed: pictures per second.
        episodes: how many.
        progress: told every step that has been drawn.

    Raises:
        UserError: the file cannot be written.
    """
    check_target(path, speed)
    timeline = Timeline()
    frames = 0
    endings: list[Step] = []
    with film(panels, path, size=size, status=Status(speed, greedy=session.greedy)) as show:
        while len(endings) < episodes:
            step = session.advance()
            timeline.add(step)
            frames += show(step, timeline)
            if step.ending:
                endings.append(step)
            progress(step)
    return Recording(path, frames, endings)


@contextmanager
def film(
    panels: Panels, path: Path, *, size: tuple[int, int], status: Status
) -> Iterator[Callable[[Step, Timeline], int]]:
    """A file in the making, which appears under its name when the context is left.

    Args:
        panels: what draws the steps.
        path: ends in .gif, .mp4 or .webm.
        size: of the picture in pixels; odd numbers are made even.
        status: what the pictures say of the recording; its speed is the file's.

    Yields:
        A function that draws a step, with its episode so far, and returns how many pictures it became.

    Raises:
        UserError: the file cannot be written.
    """
    size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    surface = pygame.Surface(size)
    held = max(1, round(EPISODE_END_SECONDS * status.speed))
    with _temporary(path) as unfinished:
        try:
            with encoder(unfinished, size, status.speed) as send:

                def show(step: Step, timeline: Timeline) -> int:
                    panels.draw(surface, step, timeline, status)
                    picture = pygame.image.tobytes(surface, "RGB")
                    pictures = 1 + (held if step.ending else 0)
                    for _ in range(pictures):
                        send(picture)
                    return pictures

                yield show
            unfinished.replace(path)
        except OSError as error:
            raise UserError(f"{path}: writing failed: {error}") from error


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path` for the unfinished file, which is gone afterwards."""
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix.lower()}")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)
