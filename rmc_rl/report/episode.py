"""One episode of a trained run, filmed by the viewer's recorder, as the bytes of an MP4."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rmc_rl.errors import UserError

SIZE, SPEED = (960, 540), 8.0
LARGEST = 12 * 2**20
"""In bytes: a page is passed on by mail."""


@dataclass(frozen=True)
class Episode:
    """What a page shows of it.

    Attributes:
        run: the run's name.
        words: how it went.
        video: a ``data:`` address of an MP4; '' where none could be made, and `words` say why.
    """

    run: str
    words: str
    video: str


def film(run: Path, *, max_steps: int, trust: bool) -> Episode:
    """Play the first evaluation episode of a run, cut short after so many steps; what prevents it is told in words."""
    name = run.resolve().name
    try:
        return _film(run, name, max_steps, trust)
    except (UserError, ImportError) as error:
        return Episode(name, f"No episode of {name} was recorded: {' '.join(str(error).split())}", "")


def _film(run: Path, name: str, max_steps: int, trust: bool) -> Episode:
    import torch

    from rmc_rl.policy import load
    from rmc_rl.viewer.panels import Caption, Panels
    from rmc_rl.viewer.recorder import record
    from rmc_rl.viewer.session import Session

    torch.set_num_threads(1)  # one observation at a time is too little to share
    policy = load(str(run), trust=trust)
    session = Session(policy, max_steps=max_steps, trust=trust)
    try:
        panels = Panels(Caption.of(session))
        with tempfile.TemporaryDirectory(prefix="rmc-rl-report-") as folder:
            recording = record(session, panels, Path(folder) / "episode.mp4", size=SIZE, speed=SPEED)
            video = recording.path.read_bytes()
    finally:
        session.close()
    if len(video) > LARGEST:
        raise UserError(f"its video has {len(video) / 2**20:.0f} MB: a smaller episode_steps makes it shorter")
    (last,) = recording.endings
    words = (
        f"{name}, seed {last.seed}: return {last.episode_return:.2f} in {last.number} steps, {last.ending}; "
        f"{SPEED:g} steps a second."
    )
    return Episode(name, words, "data:video/mp4;base64," + base64.b64encode(video).decode())
