"""Agents to pass on: those that come with the package, and how a run becomes one (``python -m rmc_rl.pretrained``).

An agent's folder is a run folder reduced to what playing needs, read by the same functions and never written to:

===================  ================================================================
``weights/``         a checkpoint (`rmc_rl.checkpoint`) that holds the weights alone
``config.yaml``      the configuration it was trained with
``metrics.csv``      how it learnt
``versions.json``    what trained it: command, commit, versions, machine
``evaluation.json``  how good it is, over fresh episodes
``README.md``        the model card, written from the others (`rmc_rl.pretrained.card`)
===================  ================================================================

Those of the package lie beside this file, in folders of their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmc_rl.checkpoint import WEIGHTS
from rmc_rl.errors import UserError

HERE = Path(__file__).resolve().parent


def pretrained_names() -> list[str]:
    """The agents that come with the package."""
    return sorted(path.parent.name for path in HERE.glob(f"*/{WEIGHTS}"))


def pretrained_folder(name: str) -> Path:
    """Where an agent of the package lies.

    Raises:
        UserError: there is none of that name.
    """
    known = pretrained_names()
    if name not in known:
        raise UserError(f"pretrained={name} is not known: {', '.join(known) or 'none'} came with the package")
    return HERE / name


def refuse_both(pretrained: str, **others: Any) -> None:
    """Raise `UserError` where `pretrained` was given and a run as well."""
    for name, value in others.items():
        if value is not None:
            given = f"[{','.join(value)}]" if isinstance(value, list) else value
            raise UserError(f"pretrained={pretrained} and {name}={given} name two agents: leave one of them out")
