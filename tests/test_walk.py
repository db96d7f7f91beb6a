"""The newcomer's walk, in short form: the README's commands with what this Python has installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "walk.py"


@pytest.fixture(scope="module")
def walk() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("walk", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_knows_every_command_of_the_readme(walk: Any) -> None:
    commands = walk.commands()
    typed = [line for line in walk.README.splitlines() if line.startswith((".venv/bin/", "python3 -m venv"))]
    assert len(commands) == len(typed)
    assert all("#" not in command for command in commands)
    for verb in ("train", "watch", "evaluate", "report", "export"):
        assert any(f"-m rmc_rl.{verb} " in command for command in commands)
    assert sum(command.endswith((walk.TESTS, walk.NEEDS_NETWORK)) for command in commands) == 2


def test_the_page_of_ones_own_parts_is_on_the_way(walk: Any) -> None:
    assert "](docs/own-parts.md)" in walk.README
    files, commands = walk.own_parts()
    assert any(name.startswith("mine/env/") for name in files)
    assert any(name.startswith("mine/core/") for name in files)
    assert len(commands) == 2


def test_every_budget_is_of_a_command(walk: Any) -> None:
    commands = [*walk.commands(), *walk.own_parts()[1]]
    for pattern, words in walk.BUDGETS.items():
        assert any(re.search(pattern, command) for command in commands), pattern
        assert words
    for command in commands:
        trains = "rmc_rl.train" in command
        assert ("total_steps=" in walk.shortened(command)) == trains, "a walk takes minutes"


@pytest.mark.slow
@pytest.mark.ray
def test_the_walk_arrives() -> None:
    command = [sys.executable, str(SCRIPT), "--with", sys.executable]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("the walk is done\n")
    shown = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert all(line.startswith(f"+ {shlex.quote(sys.executable)} -m rmc_rl") for line in shown)
    assert len(shown) > 10


def test_a_stumble_ends_it(walk: Any, tmp_path: Path) -> None:
    here = walk.Walk(tmp_path, sys.executable)
    here.run(f'{walk.VENV} -c \'open("made", "w")\'')
    assert (tmp_path / "made").exists()
    with pytest.raises(SystemExit, match="the walk ended here: exit code 3"):
        here.run(f"{walk.VENV} -c 'raise SystemExit(3)'")
