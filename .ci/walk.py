#!/usr/bin/env python3
"""The newcomer's walk: what the README tells one to type, typed in its order, with small budgets.

    python3 .ci/walk.py                     in a copy of the checkout: installs into its own .venv, then everything
    python3 .ci/walk.py --with python       in an empty folder, with what that Python has installed: a minute or two

The commands are read from README.md and docs/own-parts.md. The words in `BUDGETS` are appended to those that would take
long, and every command is shown as it is run. The first that fails ends the walk.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
OWN_PARTS = (CHECKOUT / "docs" / "own-parts.md").read_text(encoding="utf-8")

VENV = ".venv/bin/python"
BUDGETS = {
    r"rmc_rl\.train env=minipacman-viewport$": "total_steps=20000",
    r"rmc_rl\.train resume=": "total_steps=40000",
    r"rmc_rl\.train --config-dir": "total_steps=2000 engine=inline",
    r"rmc_rl\.watch .*record=": "max_steps=20",
    r"rmc_rl\.watch (?!.*record=)": "max_steps=20 episodes=1 speed=1000",
    r"rmc_rl\.evaluate": "episodes=4",
    r"rmc_rl\.report": "episode_steps=20",
}
"""What a command matches, and the words that make it short. A later `key=value` wins over an earlier one."""

TESTS, NEEDS_NETWORK = "-m pytest", "format=page"
"""How a command ends that the walk leaves out, always or in the short form: it is itself one of the tests."""


def commands() -> list[str]:
    """The README's, in its order: all lines of its shell blocks, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [found for line in lines if (found := re.sub(r"\s+#.*", "", line))]


def own_parts() -> tuple[dict[str, str], list[str]]:
    """The files of the page that the README refers to for environments and cores of one's own, and its commands."""
    files = dict(re.findall(r"`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", OWN_PARTS, re.DOTALL))
    return files, re.findall(r"^python (-m rmc_rl\..*)$", OWN_PARTS, re.MULTILINE)


def shortened(command: str) -> str:
    """The command with the words that make it short."""
    return " ".join([command, *(words for pattern, words in BUDGETS.items() if re.search(pattern, command))])


class Walk:
    """Commands run one after the other in one folder, as by a shell.

    Args:
        folder: where.
        python: takes the place of `VENV`; None: the folder's own.
    """

    def __init__(self, folder: Path, python: str | None) -> None:
        self.folder, self.python = folder, python
        # No display, no account anywhere, nothing of the caller's own packages.
        self.environment = os.environ | {"SDL_VIDEODRIVER": "dummy", "WANDB_MODE": "disabled"}
        if python is None:
            self.environment.pop("PYTHONPATH", None)

    def run(self, command: str) -> None:
        """Run a command; what it says is shown, and a failure ends the walk."""
        if self.python is not None:
            command = command.replace(VENV, shlex.quote(self.python))
        print(f"+ {command}", flush=True)
        started = time.monotonic()
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL)
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            sys.exit(f"the walk ended here: exit code {done.returncode}")


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with", dest="python", help="a Python in which everything is installed")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory(prefix="walk-") as place:
        walk = Walk(Path(place), python)
        if python is None:
            copy_checkout(walk.folder)
        for command in commands():
            if python is not None:
                command = command.rpartition(" && ")[2]  # what comes before installs
            skipped = (TESTS,) if python is None else (TESTS, NEEDS_NETWORK)
            if not command.endswith(skipped) and (python is None or "/pip install " not in command):
                walk.run(shortened(command))
        files, others = own_parts()
        for name, text in files.items():
            (walk.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (walk.folder / name).write_text(text, encoding="utf-8")
        for command in others:
            walk.run(shortened(f"{VENV} {command}"))
        if python is None:
            for number, block in enumerate(re.findall(r"```python\n(.*?)```", README, re.DOTALL)):
                (walk.folder / f"block{number}.py").write_text(block, encoding="utf-8")
                walk.run(f"{VENV} block{number}.py")
    print("the walk is done")


def copy_checkout(folder: Path) -> None:
    """What git would give to somebody else, uncommitted files among it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)


if __name__ == "__main__":
    main()
