"""The process that makes one video of an agent in training; `rmc_rl.videos` starts it.

It gives way to training: low priority, one core, the first to go where memory runs out. It ends when it is told to and
when the training process is no more, and leaves nothing unfinished behind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.videos import GIF, GIF_SIZE, VIDEO

if TYPE_CHECKING:
    from rmc_rl.viewer.session import Session
    from rmc_rl.viewer.step import Step

SIZE = (960, 540)
SPEED = 12.5
"""Pictures per second: eight hundredths of a second each, which a GIF can say exactly."""

EPISODES = 5
"""At most so many: of short ones a video shows several."""


@reports_user_errors
def main() -> None:
    """Make a video in the folder that is named: a run folder of one checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--gif", action="store_true")
    parser.add_argument("--trust", action="store_true")
    options = parser.parse_args()
    _give_way()
    # Heeded between two steps: an exception out of the handler would be lost where it falls into a callback, as those
    # that numba's compiler makes.
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        threading.Thread(target=_watch, args=(options.parent, stop), daemon=True).start()
        make(options.folder, options.steps, gif=options.gif, trust=options.trust, stop=stop)
    except KeyboardInterrupt:
        shutil.rmtree(options.folder, ignore_errors=True)
        raise


def make(folder: Path, steps: int, *, gif: bool, trust: bool, stop: threading.Event | None = None) -> None:
    """Make ``video.mp4`` and perhaps ``video.gif`` in a run folder, of its newest checkpoint.

    Args:
        folder: the run folder.
        steps: that the video shows, at most.
        gif: whether the small GIF is wanted too.
        trust: whether the run may name modules that will be imported.
        stop: ends it before the next step once it is set; the unfinished files are removed.

    Raises:
        KeyboardInterrupt: ``stop`` was set.
        UserError: the agent cannot be played, something that draws or encodes is missing, or a file cannot be written.
    """
    try:
        import pygame  # noqa: F401
    except ImportError as error:
        raise UserError(f"it needs pygame, which cannot be imported ({error}): pip install pygame") from error
    from rmc_rl.viewer.encoder import check_encoder

    targets = {folder / VIDEO: SIZE} | ({folder / GIF: GIF_SIZE} if gif else {})
    for path in targets:
        check_encoder(path.suffix)
    # These take seconds to import.
    import torch

    from rmc_rl.policy import load
    from rmc_rl.viewer.panels import Caption, Panels, Status
    from rmc_rl.viewer.recorder import film
    from rmc_rl.viewer.session import Session
    from rmc_rl.viewer.step import Timeline

    torch.set_num_threads(1)
    policy = load(folder, trust=trust)
    session = Session(policy, trust=trust)
    try:
        panels = Panels(Caption.of(session))
        timeline = Timeline()
        with ExitStack() as stack:
            films = [
                stack.enter_context(film(panels, path, size=size, status=Status(SPEED)))
                for path, size in targets.items()
            ]
            for step in excerpt(session, steps):
                timeline.add(step)
                for show in films:
                    show(step, timeline)
                if stop is not None and stop.is_set():
                    raise KeyboardInterrupt
    finally:
        session.close()


def excerpt(session: Session, steps: int) -> Iterator[Step]:
    """A few episodes of so many steps in all, at most: another one begins while fewer than half of them are used."""
    used = 0
    for _ in range(EPISODES):
        session.max_steps = steps - used
        step = session.next_episode()
        yield step
        while step.ending is None:
            step = session.advance()
            yield step
        used += step.number
        if 2 * used >= steps:
            return


def _give_way() -> None:
    os.nice(10)
    with suppress(OSError):  # Linux has it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _watch(parent: int, stop: threading.Event) -> None:
    """Have this process end when its parent is no more, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    stop.set()


if __name__ == "__main__":
    main()
