"""What is said of a release: versions and names agree wherever they stand, and files for other programs are valid."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT, ENVS = (tomllib.loads((ROOT / name / "pyproject.toml").read_text()) for name in (".", "envs"))
VERSION = PROJECT["project"]["version"]
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
PYTHONS = ["3.11", "3.12", "3.13"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def instructions(name: str) -> list[str]:
    """The Dockerfile's instructions of that name, each on one line, without the name."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [line.removeprefix(f"{name} ") for line in text.splitlines() if line.startswith(f"{name} ")]


def test_both_distributions_have_one_version_and_the_same_pythons() -> None:
    for key in ("version", "requires-python", "license"):
        assert PROJECT["project"][key] == ENVS["project"][key]
    named = f">={PYTHONS[0]},<3.{int(PYTHONS[-1].partition('.')[2]) + 1}"
    for project in (PROJECT, ENVS):
        assert project["project"]["requires-python"] == named
        classifiers = project["project"]["classifiers"]
        assert [line.rpartition(" :: ")[2] for line in classifiers if ":: Python ::" in line] == PYTHONS
    assert PROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0]


def test_constraints_pin_what_ci_installs() -> None:
    pinned = {name.lower().replace("_", "-") for name in PINNED}
    extras = PROJECT["project"]["optional-dependencies"]
    words = [*PROJECT["project"]["dependencies"], *ENVS["project"]["dependencies"], *extras["dev"]]
    words += ENVS["project"]["optional-dependencies"]["render"]
    for name in (found[1] for word in extras["dev"] if (found := re.fullmatch(r"rmc-rl\[(\w+)\]", word))):
        words += extras[name]
    needed = {re.split(r"[\[<>=]", word)[0].lower() for word in words} - {"rmc-rl", "rmc-envs"}
    assert needed <= pinned


def test_the_changelog_tells_of_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0][0] == VERSION
    for _, date in headings:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d|unreleased", date)


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys(), "without these the schema refuses it"
    project = PROJECT["project"]
    assert [citation[key] for key in ("title", "version", "license")] == [project["name"], VERSION, project["license"]]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["url"].rpartition("/")[2] == "1806.01822"
    assert f"]({paper['url']})" in (ROOT / "README.md").read_text()


def test_a_commit_is_asked_what_ci_asks() -> None:
    ruff, local = read(".pre-commit-config.yaml")["repos"]
    assert ruff["rev"] == f"v{PINNED['ruff']}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    (mypy,) = local["hooks"]
    assert (mypy["entry"], mypy["language"], mypy["pass_filenames"]) == ("mypy", "system", False)
    asked = (ROOT / ".ci" / "run").read_text()
    assert all(f"/bin/{words}\n" in asked for words in ('ruff" check .', 'ruff" format --check .', 'mypy"'))


def test_the_workflow_runs_ci_on_every_python_and_may_do_nothing_else() -> None:
    workflow = read(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": PYTHONS}
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert stat.S_IMODE((ROOT / ".ci" / "run").stat().st_mode) & stat.S_IXUSR
    for action in (step["uses"] for step in job["steps"] if "uses" in step):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action), "a tag can be moved"


# The image. Where an engine or hadolint exists they say more than these rules do.


def test_the_image_pins_what_it_takes_and_runs_without_rights() -> None:
    places = instructions("FROM")
    assert all(re.fullmatch(r"python:3\.11-slim-\w+( AS \w+)?", place) for place in places), places
    for command in instructions("RUN"):
        for words in re.findall(r"pip (?:install|wheel) [^&]*", command):
            assert "--no-cache-dir" in words
            assert "-c " in words or "--no-deps" in words
    (user,) = instructions("USER")
    assert user == "$UID", "a number: what runs images can tell that it is not root"
    assert int(instructions("ARG")[0].removeprefix("UID=")) > 0
    assert instructions("WORKDIR")[-1] == "/rmc"
    assert instructions("ENTRYPOINT") == ['["python", "-m", "rmc_rl"]']
    assert DOCKERFILE.index("\nUSER") < DOCKERFILE.index("\nENTRYPOINT")


HADOLINT = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_linter_has_nothing_to_say_of_the_image() -> None:
    done = subprocess.run([str(HADOLINT), str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_the_image_is_given_is_enough_to_build_both_wheels(tmp_path: Path) -> None:
    everything, *others = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert everything == "*"
    given = [line[1:] for line in others if line.startswith("!")]
    refused = [line.removeprefix("**/") for line in others if not line.startswith("!")]

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in refused)]

    source = tmp_path / "source"
    source.mkdir()
    for name in given:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, source)
    (command,) = (words for words in instructions("RUN") if "pip wheel" in words)
    words = command.partition("pip wheel ")[2].replace("/wheels", str(tmp_path / "wheels")).split()
    build = [sys.executable, "-m", "pip", "wheel", *words]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=300)
    assert [path.name.split("-")[0] for path in sorted((tmp_path / "wheels").iterdir())] == ["rmc_envs", "rmc_rl"]
