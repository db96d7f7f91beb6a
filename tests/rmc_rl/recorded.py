"""Run folders as training leaves them, written by hand: what is asked for is in them, and no training is waited for."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from rmc_rl.config import make_config
from rmc_rl.metrics import GLOSSARY
from rmc_rl.schema import to_yaml
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.progress import GLOSSARY as SUPERVISED_GLOSSARY

VERSIONS = {"python": "3.11.7", "platform": "Linux-6", "commit": "abc123", "command": ["/x/rmc_rl/train.py", "seed=1"]}


def write_run(
    folder: Path,
    *,
    core: str = "rmc",
    env: str = "repeat-first",
    settings: Mapping[str, Any] | None = None,
    returns: Sequence[float] = (0.1, 0.4, 0.9),
    every: int = 1000,
    columns: Mapping[str, Sequence[float]] | None = None,
    versions: Mapping[str, Any] = VERSIONS,
) -> Path:
    """A run whose mean return was so at its lines, `every` steps apart; NaN is written as training writes it.

    Args:
        folder: made, with what leads to it.
        core: whose shipped settings it has.
        env: the same.
        settings: laid over them: dotted key to value.
        returns: one a line.
        every: steps between lines.
        columns: further numbers, one a line.
        versions: what ran it.
    """
    lines = np.arange(1, len(returns) + 1)
    numbers: dict[str, Any] = dict.fromkeys(GLOSSARY, np.zeros(len(returns)))
    numbers |= {"steps": lines * every, "updates": lines, "episodes": lines * 10, "seconds": lines * 0.5}
    numbers |= {"entropy": 1.4 - 0.1 * lines, "steps_per_second": 2000.0 + lines, "return_mean": returns}
    return _write(folder, _shipped(core, env), settings or {}, numbers | dict(columns or {}), versions)


def write_supervised_run(
    folder: Path,
    *,
    core: str = "rmc",
    task: str = "copy",
    settings: Mapping[str, Any] | None = None,
    accuracies: Sequence[float] = (0.2, 0.5, 0.9),
    every: int = 100,
) -> Path:
    """A supervised run whose answers in the last evaluation were so right at its lines, `every` updates apart.

    Args:
        folder: made, with what leads to it.
        core: whose shipped settings it has.
        task: the same.
        settings: laid over them: dotted key to value.
        accuracies: one a line.
        every: updates between lines.
    """
    lines = np.arange(1, len(accuracies) + 1)
    numbers: dict[str, Any] = dict.fromkeys(SUPERVISED_GLOSSARY, np.full(len(accuracies), 0.25))
    numbers |= {"steps": lines * every, "sequences": lines * every * 64, "seconds": lines * 50.0}
    numbers |= {"loss": 3.0 - 0.5 * lines, "sequences_per_second": 128.0 + lines, "test_accuracy": accuracies}
    return _write(folder, _shipped_supervised(core, task), settings or {}, numbers, VERSIONS)


def _write(
    folder: Path,
    shipped: str,
    settings: Mapping[str, Any],
    numbers: Mapping[str, Sequence[float]],
    versions: Mapping[str, Any],
) -> Path:
    folder.mkdir(parents=True)
    node = OmegaConf.create(shipped)
    for key, value in settings.items():
        OmegaConf.update(node, key, value, force_add=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(node))
    (folder / "versions.json").write_text(json.dumps(versions))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(numbers)
        for row in zip(*numbers.values(), strict=True):
            writer.writerow(["" if value != value else value for value in row])
    return folder


@functools.cache
def _shipped(core: str, env: str) -> str:
    return to_yaml(make_config(f"core={core}", f"env={env}"))


@functools.cache
def _shipped_supervised(core: str, task: str) -> str:
    return to_yaml(SUPERVISED.make(f"core={core}", f"task={task}"))
