"""What is measured during training, and where it is written: CSV and TensorBoard always, Weights & Biases when asked.

`GLOSSARY` explains every logged name in one line; it is also the header of ``metrics.csv``.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import netrc
import os
import re
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from rmc_rl.checkpoint import INFO, checkpoint_name
from rmc_rl.config import RunConfig
from rmc_rl.errors import UserError

GLOSSARY = {
    "steps": "valid environment steps learnt from (steps that only reset a game do not count)",
    "updates": "learner updates",
    "episodes": "episodes that ended",
    "return_mean": "mean undiscounted return of the last 100 episodes that ended",
    "length_mean": "mean length of the last 100 episodes that ended, in steps",
    "loss": "what the optimiser minimises, reduced as configured",
    "policy_loss": "policy gradient term, mean per valid step",
    "value_loss": "half the squared error of the value against its V-trace target, mean per valid step",
    "entropy": "entropy of the policy, mean per valid step, in nats",
    "value": "mean predicted value",
    "rho": "mean clipped importance weight: 1 when acting and learning policies agree",
    "explained_variance": "share of the targets' variance that the value explains: 1 is perfect",
    "grad_norm": "global norm of the gradient before clipping",
    "learning_rate": "the current learning rate",
    "entropy_cost": "the current weight of the entropy bonus",
    "policy_lag": "mean age of the acting weights, in updates",
    "policy_lag_steps": "mean age of the acting weights, in steps that were learnt from meanwhile",
    "policy_lag_max": "greatest age of the acting weights in the interval, in updates",
    "steps_per_second": "environment steps learnt from per second in the interval",
    "env_speed": "steps per second that the actors' environments would make by themselves",
    "acting_speed": "steps per second that the actors would make if they never waited",
    "learning_speed": "steps per second that the learner would make if it never waited",
    "actor_busy": "share of their time that the actors played",
    "learner_busy": "share of the interval that the learner spent in updates",
    "queue": "rollouts that waited for the learner at the end of the interval",
    "restarts": "actor and learner processes replaced since the start",
    "dropped_rollouts": "rollouts never learnt from since the start: too old, or of a learner that died",
    "env_failures": "times an environment raised and its games started new episodes, since the start",
    "memory_mb": "memory of all processes of the run that they do not share, in MB",
    "seconds": "training time, resumed parts included",
}
TIMING = frozenset(
    {
        *("steps_per_second", "env_speed", "acting_speed", "learning_speed", "actor_busy", "learner_busy"),
        *("queue", "memory_mb", "seconds"),
    }
)
"""Columns that depend on the machine's speed and not on the seed."""

WandbMode = Literal["online", "offline", "disabled"]

BEST_ARTIFACT_SECONDS = 1800.0
"""At least so long lies between two artifacts of the best checkpoint: early in a run it changes every minute."""

_AVERAGED = (
    *("loss", "policy_loss", "value_loss", "entropy", "value", "rho", "explained_variance", "grad_norm"),
    *("learning_rate", "entropy_cost", "policy_lag", "policy_lag_steps"),
)
_SUMMED = ("batch_steps", "update_seconds", "acted_steps", "acting_seconds", "env_seconds", "acting_idle_seconds")


class Interval:
    """Collects the figures of single updates until a line of metrics is due.

    Args:
        start_steps: environment steps learnt from when it began.
    """

    def __init__(self, start_steps: int = 0) -> None:
        self.start_steps = start_steps
        self.updates = 0
        self._sums = dict.fromkeys((*_AVERAGED, *_SUMMED), 0.0)
        self._lag_max = 0.0
        self._actors = 1
        self._seconds_before = 0.0
        self._started = time.monotonic()

    def add(self, figures: Mapping[str, Any]) -> None:
        """Add one update's figures."""
        self.updates += 1
        for name in self._sums:
            self._sums[name] += figures[name]
        self._lag_max = max(self._lag_max, figures["policy_lag_max"])
        self._actors = figures["actors"]

    def figures(self, steps: int) -> dict[str, float]:
        """Means over the interval's updates, and how fast it went, when `steps` are done."""
        count = max(self.updates, 1)
        seconds = max(self._seconds, 1e-9)
        sums = self._sums
        acting, learning = max(sums["acting_seconds"], 1e-9), max(sums["update_seconds"], 1e-9)
        return {name: sums[name] / count for name in _AVERAGED} | {
            "policy_lag_max": self._lag_max,
            "steps_per_second": (steps - self.start_steps) / seconds,
            "env_speed": self._actors * sums["acted_steps"] / max(sums["env_seconds"], 1e-9),
            "acting_speed": self._actors * sums["acted_steps"] / acting,
            "learning_speed": sums["batch_steps"] / learning,
            "actor_busy": sums["acting_seconds"] / (acting + sums["acting_idle_seconds"]),
            "learner_busy": min(sums["update_seconds"] / seconds, 1.0),
        }

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def get_state(self) -> dict[str, Any]:
        """What JSON can hold: a run cut in the middle of an interval goes on with it."""
        counts = {"start_steps": self.start_steps, "updates": self.updates}
        return {**counts, "lag_max": self._lag_max, "seconds": self._seconds, "sums": dict(self._sums)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `get_state`."""
        self.start_steps, self.updates = state["start_steps"], state["updates"]
        self._lag_max, self._seconds_before = state["lag_max"], state["seconds"]
        self._sums = {name: state["sums"].get(name, 0.0) for name in self._sums}
        self._started = time.monotonic()


def memory_mb() -> float:
    """Memory of this process and all below it that they do not share, in MB; not a number where psutil is missing."""
    try:
        import psutil
    except ImportError:
        return float("nan")
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
    return total / 2**20


class Episodes:
    """Returns and lengths of the last episodes."""

    def __init__(self, window: int = 100) -> None:
        self.count = 0
        self._returns: deque[float] = deque(maxlen=window)
        self._lengths: deque[int] = deque(maxlen=window)

    def add(self, returns: Iterable[float], lengths: Iterable[int]) -> None:
        """Add episodes in the order they ended."""
        for value, length in zip(returns, lengths, strict=True):
            self.count += 1
            self._returns.append(float(value))
            self._lengths.append(int(length))

    @property
    def full(self) -> bool:
        """Whether as many episodes have ended as the mean is taken over."""
        return len(self._returns) == self._returns.maxlen

    @property
    def return_mean(self) -> float:
        """Mean return; not a number before the first episode has ended."""
        return float(np.mean(self._returns)) if self._returns else float("nan")

    @property
    def length_mean(self) -> float:
        """Mean length; not a number before the first episode has ended."""
        return float(np.mean(self._lengths)) if self._lengths else float("nan")

    def get_state(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"count": self.count, "returns": list(self._returns), "lengths": list(self._lengths)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `get_state`."""
        self._returns.clear()
        self._lengths.clear()
        self.add(state["returns"], state["lengths"])
        self.count = state["count"]


@dataclass(frozen=True)
class Video:
    """A video of the agent.

    Attributes:
        path: the file.
        steps: environment steps that the agent had learnt from.
        gif: the same as a small GIF, for what shows no videos; None where nothing needs it.
        gif_size: its width and height.
    """

    path: Path
    steps: int
    gif: bytes | None
    gif_size: tuple[int, int]


class Writer:
    """Where the figures go, and what else a run has to show."""

    def write(self, row: Mapping[str, float]) -> None:
        """Take one line of metrics."""
        raise NotImplementedError

    def video(self, video: Video) -> None:
        """Take a video; not every writer keeps them."""

    def saved(self, checkpoint: Path, best: bool) -> None:
        """A checkpoint was written, perhaps also as the ``best`` beside it; not every writer keeps them."""

    def rewind(self, steps: int) -> None:
        """Forget what was written after `steps`: its updates were lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what is being written."""
        raise NotImplementedError


class _DiskWriter(Writer):
    """What a full disk does to a file of metrics: it costs one warning, not the run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._warned = False

    def rewind(self, steps: int) -> None:
        """Forget what was written after `steps`: its updates were lost."""
        self.close()
        self._open(steps)

    def close(self) -> None:
        """Close the file; a disk that is full is survived."""
        raise NotImplementedError

    def _open(self, steps: int) -> None:
        """Open the file and go on after `steps`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                warnings.warn(f"{self._path} cannot be written ({error}): training goes on without it", stacklevel=4)
            self._warned = True


class CsvWriter(_DiskWriter):
    """``metrics.csv``: one line per interval, complete on disk when written.

    A resumed run goes on behind the lines up to `steps`; later ones belong to updates that were lost.

    Raises:
        UserError: what lies at `path` is no such file, or it cannot be written.
    """

    def __init__(self, path: Path, steps: int, columns: Iterable[str] = GLOSSARY) -> None:
        super().__init__(path)
        self._columns = list(columns)
        self._open(steps)

    def _open(self, steps: int) -> None:
        path = self._path
        replacement = path.with_suffix(".csv.new")
        try:
            kept = _rows_until(path, steps) if path.exists() else []
            # Made afresh: in a run folder from elsewhere the name could be a link to another file.
            replacement.unlink(missing_ok=True)
            self._file: IO[str] = replacement.open("x", newline="")
            self._writer = csv.DictWriter(self._file, self._columns, restval="", extrasaction="ignore")
            self._writer.writeheader()
            self._writer.writerows(kept)
            self._file.flush()
            replacement.rename(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error

    def write(self, row: Mapping[str, float]) -> None:
        """Append one line."""
        with self._surviving():
            self._writer.writerow({name: _short(value) for name, value in row.items()})
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._surviving():
            self._file.close()


class TensorBoardWriter(_DiskWriter):
    """TensorBoard events beside the CSV."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self._open(steps)

    def _open(self, steps: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard.writer import SummaryWriter
        # purge_step hides what was logged after the checkpoint that a resumed run goes on from.
        self._writer = SummaryWriter(str(self._path), purge_step=steps + 1 if steps else None)

    def write(self, row: Mapping[str, float]) -> None:
        """Write one point per figure at the row's step."""
        with self._surviving():
            for name, value in row.items():
                if name != "steps" and value == value:
                    self._writer.add_scalar(name, value, int(row["steps"]))

    def video(self, video: Video) -> None:
        """Write its GIF as an animated image, which is how TensorBoard shows videos."""
        if video.gif is None:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        (width, height), rgb = video.gif_size, 3
        image = Summary.Image(height=height, width=width, colorspace=rgb, encoded_image_string=video.gif)
        with self._surviving():
            writer = self._writer._get_file_writer()  # as its own `add_video` does, which wants MoviePy to make a GIF
            writer.add_summary(Summary(value=[Summary.Value(tag="video", image=image)]), video.steps)

    def close(self) -> None:
        """Flush and close."""
        with self._surviving():
            self._writer.close()


class WandbWriter(Writer):
    """Weights & Biases, its files kept inside the run folder.

    With the figures go W&B's own of the machine, videos and, as artifacts, checkpoints: the best one, but not each time
    that there is a better one, and at the end the last. An artifact is itself a run folder that can be watched.
    """

    _chosen: str | None = None  # by an earlier run of this process

    def __init__(self, config: RunConfig, folder: Path, mode: WandbMode) -> None:
        for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
            if os.environ.get(variable) in (None, self._chosen):  # the person's own choice stays
                os.environ[variable] = str(folder.resolve() / "wandb-files")
        WandbWriter._chosen = str(folder.resolve() / "wandb-files")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb
        from omegaconf import OmegaConf

        (folder / "wandb-files").mkdir(exist_ok=True)
        settings = wandb.Settings(init_timeout=30, console="off")
        arguments: dict[str, Any] = {
            "project": config.log.wandb_project,
            "name": folder.name,
            "id": folder.name,
            "group": config.group,
            "resume": "allow" if mode == "online" else None,
            "dir": str(folder),
            "config": OmegaConf.to_container(OmegaConf.structured(config)),
            "settings": settings,
        }
        try:
            self._run = wandb.init(mode=mode, **arguments)
        except Exception as error:
            if mode != "online":
                raise UserError(
                    f"Weights & Biases cannot be started: {error} (wandb=disabled trains without)"
                ) from error
            warnings.warn(
                f"Weights & Biases cannot be reached ({error}); this run is kept offline in {folder}, "
                "`wandb sync` uploads it later",
                stacklevel=2,
            )
            self._run = wandb.init(mode="offline", **{**arguments, "resume": None})

        self._folder = folder
        self._keeps_checkpoints = config.log.wandb_checkpoints
        self._newest: Path | None = None
        self._best_waits = False
        self._best_sent = -math.inf
        self._warned = False

    def write(self, row: Mapping[str, float]) -> None:
        """Log one row."""
        self._run.log({name: value for name, value in row.items() if value == value}, step=int(row["steps"]))

    def video(self, video: Video) -> None:
        """Log it with the last row: W&B takes nothing for a step that is past, so the caption names its own."""
        import wandb

        with self._surviving(f"the video {video.path}"):
            caption = f"after {video.steps:,} steps"
            self._run.log({"video": wandb.Video(str(video.path), caption=caption, format="mp4")})

    def saved(self, checkpoint: Path, best: bool) -> None:
        """Keep the best checkpoint as an artifact, if the last one is long enough ago."""
        self._newest = checkpoint
        self._best_waits |= best
        if self._best_waits and time.monotonic() - self._best_sent >= BEST_ARTIFACT_SECONDS:
            self._send(checkpoint.parent / "best", "best")

    def rewind(self, steps: int) -> None:
        """W&B takes no step twice; it ignores what comes again until the run is past where it was."""

    def close(self) -> None:
        """Log what still waits and finish the W&B run."""
        if self._newest is not None:
            if self._best_waits:
                self._send(self._newest.parent / "best", "best")
            self._send(self._newest, "latest")
        self._run.finish()

    def _send(self, checkpoint: Path, alias: str) -> None:
        """Keep a checkpoint as an artifact: copied now, uploaded while training goes on."""
        if alias == "best":
            self._best_waits, self._best_sent = False, time.monotonic()
        if not self._keeps_checkpoints:
            return
        import wandb

        with self._surviving(f"the checkpoint {checkpoint}"):
            name = checkpoint_name(int(json.loads((checkpoint / INFO).read_text())["info"]["steps"]))
            artifact = wandb.Artifact(f"{re.sub(r'[^A-Za-z0-9_.-]', '-', self._folder.name)[-100:]}-agent", "model")
            artifact.add_file(str(self._folder / "config.yaml"), skip_cache=True)
            artifact.add_dir(str(checkpoint), name=f"checkpoints/{name}", skip_cache=True)
            self._run.log_artifact(artifact, aliases=[alias, name])

    @contextlib.contextmanager
    def _surviving(self, what: str) -> Iterator[None]:
        """W&B may fail in many ways; none of them is worth the run."""
        try:
            yield
        except Exception as error:
            if not self._warned:
                warnings.warn(f"W&B did not take {what} ({error}): training goes on", stacklevel=4)
            self._warned = True


def wandb_mode(chosen: str | None) -> WandbMode:
    """``wandb=null`` means online where an API key is configured and disabled elsewhere; never a prompt."""
    chosen = chosen or os.environ.get("WANDB_MODE")
    if chosen:
        return "online" if chosen == "online" else "offline" if chosen == "offline" else "disabled"
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    try:
        host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].split("/")[0]
        return "online" if netrc.netrc().authenticators(host) else "disabled"
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return "disabled"


def make_writers(config: RunConfig, folder: Path, steps: int, columns: Iterable[str] = GLOSSARY) -> list[Writer]:
    """The writers this configuration asks for, going on after `steps`."""
    log = config.log
    writers: list[Writer] = [CsvWriter(folder / "metrics.csv", steps, columns)]
    if log.tensorboard:
        try:
            writers.append(TensorBoardWriter(folder / "tensorboard", steps))
        except ImportError:
            warnings.warn("tensorboard is not installed: metrics.csv alone is written", stacklevel=2)
    mode = wandb_mode(config.wandb)
    if mode != "disabled":
        try:
            writers.append(WandbWriter(config, folder, mode))
        except ImportError:
            warnings.warn("wandb is not installed: metrics.csv is written without it", stacklevel=2)
    return writers


def _rows_until(path: Path, steps: int) -> list[dict[str, str]]:
    """The whole rows of a CSV up to a step; a killed run may have left its last line half written."""
    try:
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        rows = [row for row in csv.DictReader(lines) if (row.get("steps") or "").isdecimal()]
        return [row for row in rows if int(row["steps"]) <= steps and None not in row.values()]
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is not a metrics file of rmc-rl ({error}): move it away to go on") from error


def _short(value: float) -> float | str:
    return "" if value != value else value
