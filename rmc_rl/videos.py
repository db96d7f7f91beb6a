"""Videos of the agent while it trains: made beside training, and never at its expense.

A process of its own (`rmc_rl.viewer.training_video`) plays and draws what a checkpoint has learnt, with low priority,
one video at a time and for a limited time. It works in a folder ``videos/.writing-…`` of the run, on a copy of the
checkpoint, so that the run may remove the checkpoint meanwhile; what is complete is renamed to
``videos/step-000000123456.mp4``. Where no video can be made, one warning is all it costs.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmc_rl.config import Config
from rmc_rl.metrics import Video, Writer
from rmc_rl.schema import to_yaml

REST_SECONDS = 30.0
"""Between the beginnings of two videos lies at least so long, however fast the steps go by."""

VIDEO_SECONDS = 600.0
"""A video that takes longer is given up."""

LAST_VIDEO_SECONDS = 60.0
"""So long a run that has spent its budget waits for its last video."""

CANCEL_SECONDS = 3.0

MAKER = (sys.executable, "-m", "rmc_rl.viewer.training_video")
VIDEO, GIF, LOG = "video.mp4", "video.gif", "log"
GIF_SIZE = (640, 360)

WORKING = ".writing-"


@dataclass
class _Making:
    """A video in the making."""

    process: subprocess.Popen[bytes]
    place: Path
    name: str
    started: float


class Videos:
    """Makes the videos of a run.

    Args:
        config: of the run.
        folder: the run's.
        steps: that the agent has learnt from so far.
        writers: are given each video.
        say: tells the person what happened.
    """

    def __init__(
        self, config: Config, folder: Path, steps: int, writers: Sequence[Writer], say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._folder = folder / "videos"
        self._every = config.log.video_every_steps
        self._last = steps // self._every if self._every else 0  # the multiple of `every` that was reached last
        self._writers = writers
        self._say = say
        self._making: _Making | None = None
        self._next_start = -math.inf  # when another video may begin
        self._not_made = ""  # why the last attempt failed

    def due(self, steps: int) -> bool:
        """Whether a video is to be made of what has been learnt from so many steps."""
        if self.busy() or self._every is None or steps // self._every <= self._last:
            return False
        return time.monotonic() >= self._next_start

    def busy(self) -> bool:
        """Whether a video is being made; one that is complete is handed to the writers first."""
        making = self._making
        if making is None:
            return False
        if making.process.poll() is None:
            if time.monotonic() - making.started < VIDEO_SECONDS:
                return True
            self._cancel(f"it took more than {VIDEO_SECONDS:g} seconds")
            return False
        try:
            if making.process.returncode == 0:
                self._hand_over(making)
                self._not_made = ""
            else:
                self._could_not_make(_last_words(making))
        except OSError as error:
            self._could_not_make(str(error))
        self._cancel()
        return False

    def start(self, checkpoint: Path | None, steps: int) -> None:
        """Begin the video that is due after so many steps, of a checkpoint; without one it is left out."""
        assert self._every is not None
        self._last, self._next_start = steps // self._every, time.monotonic() + REST_SECONDS
        if checkpoint is None:
            return
        place = None
        try:
            place = self._prepare(checkpoint)
            words = [str(place), f"--steps={self._config.log.video_steps}", f"--parent={os.getpid()}"]
            words += ["--gif"] * self._config.log.tensorboard + ["--trust"] * self._config.trust
            with (place / LOG).open("wb") as log:
                process = subprocess.Popen(
                    [*MAKER, *words],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    process_group=0,  # Ctrl-C is not for it
                )
        except OSError as error:
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
            self._could_not_make(str(error))
            return
        self._making = _Making(process, place, checkpoint.name, time.monotonic())

    def finish(self, checkpoint: Path, steps: int, stop: threading.Event) -> None:
        """Wait for the video that is being made and make the one that is due, of the run's last checkpoint.

        That is given up after a while, and where a stop is asked for.
        """
        self._next_start = -math.inf
        if not (self.due(steps) or self.busy()):
            return
        self._say("the last video is being made (Ctrl-C leaves without it) …")
        deadline = time.monotonic() + LAST_VIDEO_SECONDS
        while not stop.wait(0.1):
            if self.due(steps):
                self.start(checkpoint, steps)
            elif not self.busy():
                return
            elif time.monotonic() >= deadline:
                self._cancel(f"it was not complete {LAST_VIDEO_SECONDS:g} seconds after the run's end")

    def close(self) -> None:
        """Give up the video that is being made."""
        self._cancel()

    def _prepare(self, checkpoint: Path) -> Path:
        """A folder to work in: a run folder with this one checkpoint."""
        if self._folder.is_symlink():  # in a run folder from elsewhere
            raise OSError(f"{self._folder} is a link")
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.glob(f"{WORKING}*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(prefix=WORKING, dir=self._folder))
        try:
            (place / "config.yaml").write_text(to_yaml(self._config))
            shutil.copytree(checkpoint, place / "checkpoints" / checkpoint.name, copy_function=_link)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return place

    def _hand_over(self, making: _Making) -> None:
        path = self._folder / f"{making.name}.mp4"
        os.replace(making.place / VIDEO, path)
        gif = making.place / GIF
        steps = int(making.name.removeprefix("step-"))
        video = Video(path, steps, gif.read_bytes() if gif.exists() else None, GIF_SIZE)
        for writer in self._writers:
            writer.video(video)
        self._say(f"video: {path}")

    def _cancel(self, why: str = "") -> None:
        """End the process, if it has not ended, and remove where it worked."""
        if self._making is None:
            return
        process = self._making.process
        try:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CANCEL_SECONDS)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(self._making.place, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # where there is no video yet
            self._making = None
        if why:
            self._could_not_make(why)

    def _could_not_make(self, why: str) -> None:
        if not self._not_made:
            self._say(f"no video was made ({why}): training is not affected")
        self._not_made = why


def _link(source: str, target: str) -> None:
    """Another name for a file that never changes; a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _environment() -> dict[str, str]:
    """What the process inherits: it finds the modules that this one finds, and takes neither GPU nor display."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "SDL_VIDEODRIVER": "dummy",
    }


def _last_words(making: _Making) -> str:
    """Why the process failed, as it said itself."""
    said = (making.place / LOG).read_text(errors="replace").strip()
    status = making.process.returncode
    ended = f"its process was ended by signal {-status}" if status < 0 else f"its process ended with status {status}"
    return said.splitlines()[-1].removeprefix("error: ") if said else ended
