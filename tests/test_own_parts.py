"""The page about parts of one's own: its files and commands, run with our wheels where nothing of the checkout lies."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Distributions

CHECKOUT = Path(__file__).parent.parent
PAGE = (CHECKOUT / "docs" / "own-parts.md").read_text()
FILES = dict(re.findall(r"`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^python -m (rmc_rl\.\w+ .*)$", PAGE, re.MULTILINE)
(FROM_PYTHON,) = re.findall(r"## From Python\n\n```python\n(.*?)```", PAGE, re.DOTALL)
Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["total_steps=400", "actor.num_envs=2", "actor.unroll_length=5", "log.tensorboard=false", "log.display=none"]


@pytest.fixture
def installed(distributions: Distributions) -> Path:
    """A folder with both distributions installed."""
    return distributions.packages


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the page's files."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def run(desk: Path, installed: Path) -> Run:
    """Runs Python in that folder; the wheels' modules come before the checkout's."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=desk,
            env=os.environ | {"PYTHONPATH": str(installed), "RMC_RL_TRACEBACK": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_the_page_has_what_is_tested() -> None:
    assert sorted(FILES) == ["mine/core/leaky.yaml", "mine/env/echo.yaml", "my_games.py", "my_parts.py"]
    assert len(COMMANDS) == 2


@pytest.mark.slow
def test_what_runs_is_what_was_installed(installed: Path, run: Run) -> None:
    names = ["rmc_rl", "rmc_agents", "rmc_envs"]
    shown = run(
        "-c",
        f"import {', '.join(names)}; from rmc_rl.paths import config_dir\n"
        f"print({', '.join(f'{name}.__file__' for name in names)}, config_dir(), sep='\\n')",
    )
    assert shown.returncode == 0, shown.stderr
    *modules, configs = map(Path, shown.stdout.splitlines())
    assert modules == [installed / name / "__init__.py" for name in names]
    assert configs == installed / "rmc_rl" / "configs"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_train(command: str, desk: Path, run: Run) -> None:
    done = run("-m", *shlex.split(command), *SMALL, "engine=inline")
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stderr
    (evaluated,) = [path.name for path in (desk / "runs").iterdir()]
    again = run("-m", "rmc_rl.evaluate", f"run={evaluated}", "episodes=2", "mode=greedy", "trust=true")
    assert again.returncode == 0, again.stderr
    refused = run("-m", "rmc_rl.evaluate", f"run={evaluated}", "episodes=2")
    assert "add trust=true if you trust it" in refused.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_the_processes_of_a_run_find_them_too(run: Run) -> None:
    words = ["core=leaky", "env=echo", "modules=[my_parts]", "trust=true"]
    done = run("-m", "rmc_rl.train", "--config-dir", "mine", *words, *SMALL)
    assert done.returncode == 0, done.stderr
    resumed = run("-m", "rmc_rl.train", "resume=latest", "total_steps=800", "trust=true")
    assert resumed.returncode == 0, resumed.stderr
    assert "after 4" in resumed.stderr, "it went on"
    refused = run("-m", "rmc_rl.train", "resume=latest", "total_steps=1200")
    assert "add trust=true if you trust it" in refused.stderr


@pytest.mark.slow
def test_its_python(run: Run) -> None:
    small = FROM_PYTHON.replace('"trust=true"]', ", ".join(['"trust=true"', *(f'"{word}"' for word in SMALL)]) + "]")
    assert small != FROM_PYTHON
    done = run("-c", small + "print(type(agent.agent.core).__name__)")
    assert done.stdout == "LeakyCore\n", done.stderr
