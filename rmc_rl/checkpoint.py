"""Checkpoints: safetensors and JSON, no pickle, checksummed, written to a temporary name and renamed.

``checkpoints/step-000000123456/`` holds ``state.safetensors`` (every array of the state, named by its path in the tree)
and ``checkpoint.json`` (counters, the checksum of the former and of itself). A folder of that name is always whole: it
came there by one rename. ``checkpoints/best`` is the one with the best mean return so far. An agent that was passed on
(`rmc_rl.pretrained`) has one instead, ``weights/``, which holds nothing else and cannot be trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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
WEIGHTS = "weights"

_NAME = re.compile(r"step-[0-9]{12,18}")


def checkpoint_name(steps: int) -> str:
    """The folder name of the checkpoint after so many environment steps."""
    return f"step-{steps:012d}"


def checkpoints(folder: Path) -> list[Path]:
    """The numbered checkpoints in a folder, oldest first; a folder of any other name is not one of them."""
    numbered = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(numbered, key=_steps)


def save_checkpoint(folder: Path, name: str, state: Mapping[str, Any], info: Mapping[str, Any]) -> Path:
    """Write a checkpoint as `folder`/`name`, replacing one of that name; all or nothing.

    Args:
        folder: the run's ``checkpoints``.
        name: of the checkpoint.
        state: tree of dicts, tuples and lists whose leaves are arrays.
        info: what JSON can hold: counters and figures.

    Raises:
        OSError: it could not be written, on a full disk for one; the earlier checkpoint of that name is still there.
        TypeError: a leaf is not an array of numbers.
        ValueError: two leaves have the same path.
    """
    arrays = {key: np.asarray(value, order="C") for key, value in flatten(state).items()}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"the state's leaf '{key}' is no array of numbers but of {array.dtype}")
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        try:
            save_file(arrays, temporary / STATE)
            os.chmod(temporary / STATE, 0o644)  # safetensors makes it for its owner alone
        except SafetensorError as error:  # which is how the library reports what the operating system said
            raise OSError(str(error)) from error
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
            try:
                os.rename(target, aside / name)
                try:
                    os.rename(temporary, target)
                except OSError:
                    os.rename(aside / name, target)
                    raise
            finally:
                if target.exists():  # else what was put aside is all there is: `prune` brings it back
                    shutil.rmtree(aside, ignore_errors=True)
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
    numbered = path.name.startswith("step-")
    remedy = f"remove {path} to go on from an earlier checkpoint" if numbered else "take another checkpoint"
    if path.name == WEIGHTS:
        remedy = f"get {path.parent} again from where it came"
    for name in (INFO, STATE):
        if not (path / name).is_file():
            raise UserError(f"the checkpoint {path} lacks {name}: {remedy}")
    try:
        record = json.loads((path / INFO).read_text())
        raw = (path / STATE).read_bytes()
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise UserError(f"{path / INFO} is not a checkpoint of this version of rmc-rl: {remedy}")
        if record.get("record_sha256") != _record_digest(record):
            raise UserError(f"{path / INFO} was altered: its checksum does not match: {remedy}")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path / INFO} cannot be read ({error}): {remedy}") from error
    if hashlib.sha256(raw).hexdigest() != record.get("state_sha256"):
        raise UserError(f"{path / STATE} was truncated or altered: its checksum does not match: {remedy}")
    # The checksums find accidents. What follows holds against a forger, who can compute checksums as well.
    try:
        flat = load_tensors(raw)
        state, info = unflatten(flat, record.get("structure")), record.get("info")
        if not (isinstance(state, dict) and isinstance(info, dict) and set(flatten(state)) == set(flat)):
            raise ValueError("its parts do not fit together")
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path / STATE} cannot be read ({error}): {remedy}") from error
    return state, info


def latest_checkpoint(folder: Path) -> Path:
    """The newest numbered checkpoint.

    Raises:
        UserError: there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise UserError(f"{folder} holds no checkpoint")
    return found[-1]


def find_checkpoint(run: Path, name: str) -> Path:
    """A run's checkpoint: ``latest``, ``best``, or by the name of its folder; of an agent passed on its only one.

    Raises:
        UserError: there is none of that name.
    """
    if (run / WEIGHTS).is_dir():
        if name != "latest":
            raise UserError(f"checkpoint={name}: {run} holds the weights of one agent alone: leave it out")
        return run / WEIGHTS
    folder = run / "checkpoints"
    chosen = latest_checkpoint(folder) if name == "latest" else folder / name
    if name != "latest" and (chosen.name != name or name.startswith(".") or not chosen.is_dir()):
        names = ", ".join(sorted(item.name for item in folder.iterdir() if not item.name.startswith(".")))
        raise UserError(f"the run {run} has no checkpoint '{name}'; it has: latest, {names}")
    return chosen


def prune(folder: Path, keep: int, every_steps: int | None) -> None:
    """Remove old checkpoints, except the newest `keep`, and the first at or after each multiple of `every_steps`."""
    for aside in folder.glob(".replaced-*/*"):
        if not (folder / aside.name).exists():  # killed between the two renames: the replaced one is all there is
            os.rename(aside, folder / aside.name)
    for leftover in [*folder.glob(".writing-*"), *folder.glob(".replaced-*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    found = checkpoints(folder)
    kept_multiple = -1
    for path in found[: max(len(found) - keep, 0)]:
        steps = _steps(path)
        if every_steps is not None and steps // every_steps > kept_multiple and steps >= every_steps:
            kept_multiple = steps // every_steps
            continue
        shutil.rmtree(path, ignore_errors=True)


def flatten(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays of a tree by their path: ``agent|core.weight``, ``actor|core_state|0``.

    Raises:
        ValueError: two leaves have the same path, because a name holds the separator.
    """
    if isinstance(tree, Mapping):
        items: list[tuple[str, Any]] = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, tuple | list):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: np.asarray(tree)}
    flat: dict[str, np.ndarray] = {}
    for key, value in items:
        part = flatten(value, f"{prefix}|{key}" if prefix else key)
        if common := flat.keys() & part.keys():
            raise ValueError(f"two leaves of the state have the path '{min(common)}'")
        flat |= part
    return flat


def unflatten(flat: Mapping[str, np.ndarray], structure: Any, prefix: str = "") -> Any:
    """The inverse of `flatten`, given the tree's structure: dicts, lists, and None for a leaf."""
    if structure is None:
        return flat[prefix]
    join = f"{prefix}|" if prefix else ""
    if isinstance(structure, Mapping):
        return {key: unflatten(flat, value, f"{join}{key}") for key, value in structure.items()}
    if not isinstance(structure, list):
        raise TypeError(f"the structure holds {structure!r:.50}")
    return tuple(unflatten(flat, value, f"{join}{index}") for index, value in enumerate(structure))


def _structure(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {str(key): _structure(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return [_structure(value) for value in tree]
    return None


def _steps(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _record_digest(record: Mapping[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
