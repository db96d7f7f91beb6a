"""Where things lie: the shipped configuration, and what is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path

from rmc_rl.errors import UserError


def config_dir() -> Path:
    """The folder that holds ``train.yaml`` and the config groups.

    A checkout (also one installed with ``pip install -e``) is recognised by the ``pyproject.toml`` beside the package
    and always wins, so an edit of ``configs/`` is never shadowed by a copy.

    Raises:
        UserError: neither place holds the configuration, so the installation is broken.
    """
    package = Path(__file__).resolve().parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "configs" / "train.yaml").is_file():
        return checkout / "configs"
    if (package / "configs" / "train.yaml").is_file():
        return package / "configs"
    raise UserError(f"the configuration files of rmc-rl are missing below {package}: install rmc-rl again")


def cache_dir() -> Path:
    """The user's folder for what was costly to get and can be had again: ``$XDG_CACHE_HOME/rmc-rl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rmc-rl"
