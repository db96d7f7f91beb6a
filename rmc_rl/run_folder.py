"""A run's folder: made exclusively, locked while in use, found again as ``latest``.

``runs/<date>-<env>-<core>-<seed>/`` holds ``config.yaml``, ``metrics.csv``, TensorBoard events, ``checkpoints/`` and
``versions.json``. The lock is the operating system's (`flock`), so it vanishes with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rmc_rl.checkpoint import WEIGHTS, checkpoints
from rmc_rl.config import TRAIN, RunConfig
from rmc_rl.errors import UserError
from rmc_rl.schema import Schema, to_yaml


class RunFolder:
    """An open run folder; `close` releases its lock.

    Attributes:
        abandoned: whether `close` removes the folder: nothing came of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.abandoned = False
        try:
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"the run folder {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UserError(f"the run folder {path} is in use by another process") from None

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved configuration and the versions of what runs it.

        Raises:
            UserError: it cannot be written; an earlier configuration is still there.
        """
        texts = {"config.yaml": to_yaml(config), "versions.json": json.dumps(versions(), indent=2) + "\n"}
        for name, text in texts.items():
            replacement = self.path / f"{name}.new"
            try:
                # Made afresh: in a run folder from elsewhere the name could be a link to another file.
                replacement.unlink(missing_ok=True)
                with replacement.open("x") as file:
                    file.write(text)
                replacement.rename(self.path / name)
            except OSError as error:
                raise UserError(f"{self.path / name} cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            if self.abandoned:
                shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def create_run_folder(config: RunConfig) -> RunFolder:
    """Make a new folder; two runs of the same second get two folders.

    Raises:
        UserError: the place cannot be written.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{stamp}-{'-'.join(config.title)}-{config.seed}"
    if "/" in name or "\\" in name:
        raise UserError(f"names of runs become part of a folder's and cannot hold a slash: '{name}'")
    base = Path(config.runs_dir)
    try:
        base.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            path = base / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            folder = RunFolder(path)
            try:
                folder.checkpoints.mkdir()
                folder.write_config(config)
            except BaseException:
                folder.close()
                raise
            return folder
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise UserError(f"the run folder {name!r} cannot be made in {str(base)!r}: {what}") from error
    raise UserError(f"{base} holds a thousand runs named {name}: choose another runs_dir")


def find_run(run: str, runs_dir: str = "runs", schema: Schema[Any] = TRAIN) -> Path:
    """The folder of a run of one kind: a path, the name of a folder in `runs_dir`, or ``latest``.

    ``latest`` is the folder with the newest checkpoint. A path may also be that of an agent that was passed on.

    Raises:
        UserError: there is no such run, or it holds no agent.
    """
    base = Path(runs_dir)
    if run == "latest":
        found = [path.parent for path in base.glob("*/config.yaml") if not schema.other_verb(path)]
        usable = [path for path in found if checkpoints(path / "checkpoints")]
        if not usable:
            what = "no run with a checkpoint" if found else "no run"
            raise UserError(f"there is {what} in {base.resolve()}: train first, or name the folder of a run")
        return max(usable, key=lambda path: (path / "checkpoints").stat().st_mtime)
    try:
        path = Path(run) if Path(run).exists() or not (base / run).exists() else base / run
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        raise UserError(
            f"{run[:100]!r} cannot name a run folder: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not path.exists():
        raise UserError(f"the run folder {path} does not exist (run=latest takes the newest in {base.resolve()})")
    if not path.is_dir():
        raise UserError(f"{path} is a file: the folder of a run is needed")
    if not any(path.iterdir()):
        raise UserError(f"the folder {path} is empty: it is not a run folder of rmc-rl")
    if not (path / "config.yaml").is_file():
        raise UserError(f"the folder {path} is not a run folder of rmc-rl: it holds no config.yaml")
    if verb := schema.other_verb(path / "config.yaml"):
        raise UserError(f"the run folder {path} was made by `python -m rmc_rl.{verb}`: it is of another kind")
    if not checkpoints(path / "checkpoints") and not (path / WEIGHTS).is_dir():
        raise UserError(
            f"the run folder {path} holds no checkpoint, as when training is stopped before its first one: "
            "train again, or name another run"
        )
    return path


def made_by(run: str, runs_dir: str = "runs") -> str:
    """The verb that made a run, as far as its folder tells: ``latest`` is the newest of `rmc_rl.train`."""
    for path in (Path(run), Path(runs_dir) / run):
        with contextlib.suppress(OSError, ValueError):
            if (path / "config.yaml").is_file():
                return TRAIN.other_verb(path / "config.yaml") or "train"
    return "train"


def command(verb: str, key: str, run: Path) -> str:
    """A command to paste: this Python, this verb, this run."""
    python = sys.executable
    with contextlib.suppress(ValueError):  # not below the working directory
        python = os.path.join(".", Path(python).relative_to(Path.cwd()))
    return f"{shlex.quote(python)} -m rmc_rl.{verb} {key}={shlex.quote(str(run))}"


def typed_command(versions: Mapping[str, Any]) -> str:
    """What was typed, by what `versions` recorded: Python says which file it ran, its path tells the verb."""
    command = versions.get("command")
    if not isinstance(command, list) or not command:
        return "not known"
    program, *words = map(str, command)
    below = program.rpartition("rmc_rl/")[2].removesuffix(".py").removesuffix("/__main__").replace("/", ".")
    verb = ["python", "-m", f"rmc_rl.{below}"] if "rmc_rl/" in program else [program.rpartition("/")[2]]
    return shlex.join([*verb, *words])


def versions() -> dict[str, Any]:
    """What ran: versions of the packages that matter, the git commit of a checkout, the machine."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "platform": platform.platform()}
    for name in ("rmc-rl", "rmc-envs", "torch", "gymnasium", "numpy", "numba", "ray"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found |= {"processor": _processor(), **_cores_and_gpu()}
    found["commit"] = _commit()
    found["command"] = sys.argv
    return found


def _processor() -> str | None:
    with contextlib.suppress(OSError):  # Linux alone has it
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or None


def _cores_and_gpu() -> dict[str, Any]:
    # Torch is imported where a run is made, not where one is found.
    import torch

    from rmc_rl.building import available_cores

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cores": available_cores(), "gpu": gpu}


def _commit() -> str | None:
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip()
