"""Reinforcement learning with the Relational Memory Core.

>>> import rmc_rl
>>> result = rmc_rl.train(["env=minipacman-viewport", "total_steps=20000"])
>>> agent = rmc_rl.load(result.run)
>>> action, state = agent.act(observation, state, reset, last_reward)

The command line does the same and more: ``python -m rmc_rl.train --help``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmc_rl.config import Config
    from rmc_rl.policy import Policy
    from rmc_rl.trainer import TrainingResult

# Read when torch is imported. Its threads otherwise spin while they wait for one another, which on a machine that is
# also doing something else (actors beside a learner, say) has cost a factor of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("rmc-rl")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "load", "make_config", "train"]

# The functions import their modules when called, so that `import rmc_rl` is quick and needs no torch.


def make_config(*overrides: str, extra_dir: str | None = None) -> Config:
    """A validated configuration; see `rmc_rl.config.make_config`."""
    from rmc_rl import config

    return config.make_config(*overrides, extra_dir=extra_dir)


def train(config: Config | Sequence[str], *, extra_dir: str | None = None) -> TrainingResult:
    """Train an agent; see `rmc_rl.trainer.train`."""
    from rmc_rl import trainer

    return trainer.train(config, extra_dir=extra_dir)


def load(
    run: str | Path | None = None, checkpoint: str = "latest", *, pretrained: str | None = None, trust: bool = False
) -> Policy:
    """Load a trained agent; see `rmc_rl.policy.load`."""
    from rmc_rl import policy

    return policy.load(run, checkpoint, pretrained=pretrained, trust=trust)
