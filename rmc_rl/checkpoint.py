"""Checkpoints: safetensors and JSON, no pickle, checksummed, written to a temporary name and renamed.

``checkpoints/step-000000123456/`` holds ``state.safetensors`` (every array of the state, named by its path in the tree)
and ``checkpoint.json`` (counters, the checksum of the former and of itself). A folder of that name is always whole: it
came there by one rename. ``checkpoints/best`` is the one with the best mean return so far.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file

from rmc_rl.errors import UserError

FORMAT = 1
STATE, INFO = "state.safetensors", "checkpoint.json"


def checkpoint_name(steps: int) -> str:
    """The folder name of the checkpoint after so many environment steps."""
    return f"step-{steps:012d}"


def checkpoints(folder: Path) -> list[Path]:
    """The numbered checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def save_checkpoint(folder: Path, name: str, state: Mapping[str, Any], info: Mapping[str, Any]) -> Path:
    """Write a checkpoint as `folder`/`name`, replacing one of that name; all or nothing.

    Args:
        folder: the run's ``checkpoints``.
        name: of the checkpoint.
        state: tree of dicts, tuples and lists whose leaves are arrays.
        info: what JSON can hold: counters and figures.
    """
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        save_file({key: np.asarray(value, order="C") for key, value in flatten(state).items()}, temporary / STATE)
        record: dict[str, Any] = {"format": FORMAT, "info": dict(info), "structure": _structure(state)}
        record["state_sha256"] = hashlib.sha256((temporary / STATE).read_bytes()).hexdigest()
        record["record_sha256"] = _record_digest(record)
        (temporary / INFO).write_text(json.dumps(record, indent=1) + "\n")
        for path in (temporary / STATE, temporary / INFO, temporary):
            _sync(path)
        os.chmod(temporary, 0o755)
        target = folder / name
        if target.exists():
            aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=folder))
            os.rename(target, aside / name)
            os.rename(temporary, target)
            shutil.rmtree(aside)
        else:
            os.rename(temporary, target)
        _sync(folder)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint; returns (state, info) as they were saved.

    Raises:
        UserError: it is missing, truncated, altered, or of another format; the message names the file and the remedy.
    """
    remedy = f"remove {path} to go on from the checkpoint before it"
    try:
        record = json.loads((path / INFO).read_text())
        raw = (path / STATE).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"the checkpoint {path} lacks {Path(error.filename).name}: {remedy}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path / INFO} cannot be read ({error}): {remedy}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UserError(f"{path / INFO} is not a checkpoint of this version of rmc-rl: {remedy}")
    if record.get("record_sha256") != _record_digest(record):
        raise UserError(f"{path / INFO} was altered: its checksum does not match. To go on, {remedy}")
    if hashlib.sha256(raw).hexdigest() != record["state_sha256"]:
        raise UserError(f"{path / STATE} was truncated or altered: its checksum does not match. To go on, {remedy}")
    try:
        return unflatten(load_tensors(raw), record["structure"]), record["info"]
    except (SafetensorError, KeyError) as error:
        raise UserError(f"{path / STATE} cannot be read ({error}): {remedy}") from error


def latest_checkpoint(folder: Path) -> Path:
    """The newest numbered checkpoint.

    Raises:
        UserError: there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise UserError(f"{folder} holds no checkpoint")
    return found[-1]


def prune(folder: Path, keep: int, every_steps: int | None) -> None:
    """Remove old checkpoints, except the newest `keep`, and the first at or after each multiple of `every_steps`."""
    found = checkpoints(folder)
    kept_multiple = -1
    for path in found[:-keep]:
        steps = int(path.name.removeprefix("step-"))
        if every_steps is not None and steps // every_steps > kept_multiple and steps >= every_steps:
            kept_multiple = steps // every_steps
            continue
        shutil.rmtree(path, ignore_errors=True)
    for leftover in [*folder.glob(".writing-*"), *folder.glob(".replaced-*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def flatten(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays of a tree by their path: ``agent/core.weight``, ``actor/core_state/0``."""
    if isinstance(tree, Mapping):
        items: list[tuple[str, Any]] = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, tuple | list):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: np.asarray(tree)}
    flat: dict[str, np.ndarray] = {}
    for key, value in items:
        # "|" cannot occur in a parameter's name, so a path can be split again.
        flat |= flatten(value, f"{prefix}|{key}" if prefix else key)
    return flat


def unflatten(flat: Mapping[str, np.ndarray], structure: Any, prefix: str = "") -> Any:
    """The inverse of `flatten`, given the tree's structure."""
    if structure is None:
        return flat[prefix]
    join = f"{prefix}|" if prefix else ""
    if isinstance(structure, Mapping):
        return {key: unflatten(flat, value, f"{join}{key}") for key, value in structure.items()}
    return tuple(unflatten(flat, value, f"{join}{index}") for index, value in enumerate(structure))


def _structure(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {str(key): _structure(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return [_structure(value) for value in tree]
    return None


def _record_digest(record: Mapping[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
