"""How a training run begins: a configuration and a new folder, or the folder of a run that is gone on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from rmc_rl.checkpoint import checkpoints, latest_checkpoint, load_checkpoint
from rmc_rl.errors import UserError
from rmc_rl.overrides import overridden, resume_words
from rmc_rl.run_folder import RunFolder, create_run_folder, find_run
from rmc_rl.schema import C, Schema, changes

Checked = TypeVar("Checked")
Counted = TypeVar("Counted")


@dataclass(frozen=True)
class Start(Generic[C, Checked, Counted]):
    """What a run begins with.

    Attributes:
        config: its configuration.
        checked: what checking the configuration has found.
        folder: the run's, locked.
        state: what its last checkpoint holds; None for a new run.
        count: how far it had come then; None for a new run.
        notes: what the person should know.
    """

    config: C
    checked: Checked
    folder: RunFolder
    state: dict[str, Any] | None = None
    count: Counted | None = None
    notes: list[str] = field(default_factory=list)


def begin(
    asked: C | Sequence[str],
    schema: Schema[C],
    check: Callable[[C], Checked],
    read: Callable[[Mapping[str, Any], Path], Counted],
    extra_dir: str | None = None,
) -> Start[C, Checked, Counted]:
    """Begin a run from a configuration, or from overrides as typed on the command line (``resume=…`` among them).

    Args:
        asked: one or the other.
        schema: the configuration's kind.
        check: makes the parts once before anything is written or started, so that bad input costs nothing.
        read: what a checkpoint records of how far a run has come; the path is for messages.
        extra_dir: the user's own configuration folder.

    Raises:
        UserError: bad input, or a run that cannot be gone on with.
    """
    if isinstance(asked, schema.cls):
        if getattr(asked, "resume", None) is not None:
            raise UserError("resume goes with what is typed, train(['resume=…', …]), not with a whole configuration")
        return Start(asked, check(asked), create_run_folder(asked))  # type: ignore[arg-type]
    words = [asked] if isinstance(asked, str) else list(asked)  # type: ignore[arg-type]
    resume = resume_words(words)
    if resume is None:
        return begin(schema.make(*words, extra_dir=extra_dir), schema, check, read)
    path = find_run(resume.run, resume.runs_dir or schema.compose([]).runs_dir, schema)
    if not checkpoints(path / "checkpoints"):
        raise UserError(f"resume={resume.run}: {path} holds the weights of an agent alone, and no run to go on with")
    folder = RunFolder(path)
    try:
        saved = schema.read(path / "config.yaml")
        config = overridden(saved, resume.others, schema, extra_dir)
        newest = latest_checkpoint(folder.checkpoints)
        state, info = load_checkpoint(newest)
        count = read(info, newest)
        checked = check(config)
    except BaseException:
        folder.close()
        raise
    notes = [f"resuming {path} after {int(info['steps']):,} steps"]
    notes += [f"  changed {line}" for line in changes(saved, config)]
    return Start(config, checked, folder, state, count, notes)


def last_state(folder: RunFolder) -> dict[str, Any] | None:
    """What the newest checkpoint of a run holds; None where there is none."""
    found = checkpoints(folder.checkpoints)
    return load_checkpoint(found[-1])[0] if found else None
