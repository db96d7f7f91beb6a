"""Both distributions, built, installed and tried where nothing of the checkout lies."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rmc_rl.__main__ import verbs
from tests.conftest import CHECKOUT, Distributions

pytestmark = [pytest.mark.slow]
PACKAGES = {"rmc_rl": CHECKOUT, "rmc_agents": CHECKOUT / "agents", "rmc_envs": CHECKOUT / "envs"}
SELECTION = ["rmc_agents/test_rmc.py", "rmc_envs/minipacman", "rmc_rl/test_config.py", "rmc_rl/test_paths.py"]
SELECTION += ["rmc_rl/test_policy.py", "rmc_rl/test_main.py", "rmc_rl/pretrained"]
"""Of the tests, those that say most in little time about what was installed."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, distributions: Distributions) -> Run:
    """Runs Python in an empty folder; the wheels' modules come before the checkout's."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        changed = {"PYTHONPATH": str(distributions.packages), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | changed, capture_output=True, text=True, timeout=600
        )

    return run


def files(folder: Path) -> dict[str, bytes]:
    """What lies below, without what Python makes by itself."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in found.items() if "__pycache__" not in name.parts}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_all_of_a_package(name: str, distributions: Distributions) -> None:
    """Pages, templates, pretrained agents and ``py.typed`` among it."""
    expected = files(PACKAGES[name] / name)
    if name == "rmc_rl":
        expected |= {f"configs/{path}": data for path, data in files(CHECKOUT / "configs").items()}
    found = files(distributions.packages / name)
    assert found.keys() == expected.keys()
    assert found == expected
    assert "py.typed" in found


def test_nothing_else_is_installed(distributions: Distributions) -> None:
    found = {path.name for path in distributions.packages.iterdir()}
    assert {name for name in found if not name.endswith(".dist-info")} == set(PACKAGES)


def test_a_source_archive_holds_the_tests_and_what_is_said_of_the_release(distributions: Distributions) -> None:
    found = files(distributions.sources["rmc-rl"])
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "constraints.txt"):
        assert found[name] == (CHECKOUT / name).read_bytes()
    assert {name for name in found if name.startswith("tests/")} == {
        f"tests/{name}" for name in files(CHECKOUT / "tests")
    }
    assert {"LICENSE", "README.md"} <= files(distributions.sources["rmc-envs"]).keys()


@pytest.mark.parametrize(("name", "folder"), [("rmc-rl", "."), ("rmc-envs", "envs")])
def test_the_metadata_are_whole(name: str, folder: str, distributions: Distributions) -> None:
    project = tomllib.loads((CHECKOUT / folder / "pyproject.toml").read_text())["project"]
    (info,) = distributions.packages.glob(f"{name.replace('-', '_')}-*.dist-info")
    found = email.message_from_string((info / "METADATA").read_text())
    assert (found["Name"], found["Version"]) == (name, project["version"])
    assert found["License-Expression"] == "Apache-2.0"
    assert (info / "licenses" / "LICENSE").read_text() == (CHECKOUT / "LICENSE").read_text()
    assert found.get_payload() == (CHECKOUT / folder / "README.md").read_text()


def test_its_verbs_run_and_write_nothing_where_it_is_installed(
    run: Run, tmp_path: Path, distributions: Distributions
) -> None:
    before = files(distributions.packages)
    listed = run("-m", "rmc_rl")
    assert all(f"  {name} " in listed.stdout for name in verbs())
    agent = "pretrained=minipacman-viewport"
    for words in (
        ["rmc_rl.watch", agent, "record=out.gif", "max_steps=5"],
        ["rmc_rl.evaluate", agent, "episodes=2", "mode=greedy"],
        ["rmc_rl.export", agent, "format=pt2"],
        ["rmc_rl.report", agent, "episode_steps=5"],
        ["rmc_rl.train", "env=repeat-first", "engine=inline", "total_steps=2000", "log.display=none"],
        ["rmc_rl.supervised", "task=copy", "total_steps=2", "log.display=none"],
        ["rmc_rl.report"],
    ):
        done = run("-m", *words)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out.gif", "agent.pt2", "report.html", "runs"}
    assert files(distributions.packages) == before


def test_the_archives_tests_pass_with_what_was_installed(
    run: Run, tmp_path: Path, distributions: Distributions
) -> None:
    source = distributions.sources["rmc-rl"]
    shutil.copytree(source / "tests", tmp_path / "tests")
    shutil.copy(source / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "test_what_is_tried.py").write_text(
        "import rmc_agents, rmc_envs, rmc_rl\n\n"
        "def test_what_is_tried():\n"
        "    for package in (rmc_agents, rmc_envs, rmc_rl):\n"
        f"        assert package.__file__.startswith({str(distributions.packages)!r})\n"
    )
    chosen = [f"tests/{name}" for name in ("test_what_is_tried.py", *SELECTION)]
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--basetemp", "made", *chosen)
    assert done.returncode == 0, done.stdout[-5000:]
