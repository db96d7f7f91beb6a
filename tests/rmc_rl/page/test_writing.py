"""What lies in a page's folder, and what cannot become a page."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rmc_rl import export as verb
from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.page import writing
from rmc_rl.page.runtime import PACKAGE, VERSION
from rmc_rl.page.writing import HERE, agent_page_files, farthest_page_files, palette_css, write_page
from rmc_rl.policy import Policy, load
from rmc_rl.seeds import EVALUATION_SEEDS

RUNTIME = {"ort.js": b"script", "ort-wasm.js": b"loader", "ort-wasm.bin": b"packed", "LICENCE.txt": b"licence"}


@pytest.fixture(autouse=True)
def _no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here runs the page."""
    monkeypatch.setattr(writing, "runtime_files", lambda *arguments: RUNTIME)


@pytest.fixture(scope="module")
def said(policy: Policy) -> list[str]:
    """What the verb says when it writes the page into the run folder."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(writing, "runtime_files", lambda *arguments: RUNTIME)
        patch.setattr(sys, "argv", ["export", "format=page", f"run={policy.run}"])
        verb.main()
    return said.getvalue().splitlines()


@pytest.fixture(scope="module")
def folder(policy: Policy, said: list[str]) -> Path:
    return policy.run / "page"


def test_the_folder_is_whole(folder: Path) -> None:
    """Whatever a file of it names is there."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"index.html", "agent.onnx", "agent.json", "palette.css", *(f"ort/{name}" for name in RUNTIME)} <= names
    page = (folder / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', page)) <= names
    for path in folder.glob("**/*.js"):
        if path.parent.name == "ort":
            continue
        for target in re.findall(r'^(?!/?\s*\*).*(?:from|import\()\s*"(\.[^"]+)"', path.read_text(), re.MULTILINE):
            assert (path.parent / target).resolve().is_relative_to(folder)
            assert (path.parent / target).is_file(), f"{path.name}: {target}"


def test_nothing_is_asked_of_elsewhere(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'" in page
    for path in folder.rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            addresses = re.findall(r"https?://[\w.:]+", path.read_text())
            assert set(addresses) <= {"http://localhost:8000"}, path.name


def test_the_graph_puts_out_what_the_page_shows(policy: Policy, folder: Path) -> None:
    session = onnxruntime.InferenceSession((folder / "agent.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    about = json.loads((folder / "agent.json").read_text())
    assert [output.name for output in session.get_outputs()] == about["outputs"]
    assert about["outputs"] == ["logits", "value", "attention", "input_gate", "forget_gate", "next_memory"]
    kwargs = {"max_steps": 90}
    assert about["game"] == {"id": "rmc/MiniPacmanViewport-v0", "kwargs": policy.config.env.kwargs | kwargs}
    assert (about["name"], about["first_seed"]) == ("minipacman-viewport", EVALUATION_SEEDS)
    assert about["bytes"] == (folder / "agent.onnx").stat().st_size + len(RUNTIME["ort-wasm.bin"])


def test_colours_are_those_of_the_palette() -> None:
    css = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", palette_css()))
    assert css["ground"] == "#{:02x}{:02x}{:02x}".format(*palette.GROUND)
    assert css["heat-negative"] == css["blue"]
    assert css["heat-zero"] == "#{:02x}{:02x}{:02x}".format(*palette.heat(np.zeros(1), 1.0)[0])
    used = set(re.findall(r"var\(--([\w-]+)", (HERE / "page.css").read_text()))
    assert used - set(css) == {"mark", "rows", "board-aspect"}  # the page's own
    named = set(re.findall(r"#[0-9a-f]{6}", (HERE / "icon.svg").read_text()))
    assert named <= set(css.values())
    own = [path.read_text() for path in HERE.glob("*.*") if path.suffix in (".css", ".js", ".html")]
    assert not any(re.search(r"#[0-9a-f]{6}\b", text) for text in own)


def test_every_file_that_lies_here_is_of_some_page() -> None:
    ours = {path.relative_to(HERE).as_posix() for path in HERE.rglob("*") if path.is_file() and path.suffix != ".py"}
    ours = {name for name in ours if "__pycache__" not in name and not name.endswith("package.json")}
    farthest = set(farthest_page_files())
    assert set(agent_page_files()) | farthest | {"farthest.html"} == ours
    assert not any(name.startswith("games/") for name in farthest)
    assert farthest_page_files()["index.html"] == (HERE / "farthest.html").read_bytes()


def changed(policy: Policy, **env: object) -> Policy:
    theirs = load(policy.run)
    for name, value in env.items():
        setattr(theirs.config.env, name, value)
    return theirs


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"id": "CartPole-v1"}, "has none of 'CartPole-v1': it knows rmc/BoxWorld-v0, "),
        ({"wrappers": ["RescaleAction"]}, r"through wrappers \(env\.wrappers=\['RescaleAction'\]\)"),
        ({"id": "elsewhere:rmc/MiniPacman-v0"}, "add trust=true"),
        ({"kwargs": {"observation": "planes"}}, "does not fit the environment"),
    ],
)
def test_what_cannot_become_a_page_is_told(
    policy: Policy, tmp_path: Path, env: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_page(changed(policy, **env), tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_folder_is_refused(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not an earlier page"):
        write_page(policy, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_verb_says_what_it_wrote(folder: Path, said: list[str]) -> None:
    written, look = said
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert written.startswith(f"{folder}: {size / 1e6:.1f} MB, equal to the agent within ")
    assert f"-m http.server -b 127.0.0.1 -d {folder}" in look


def test_its_documentation_names_every_part_and_leads_somewhere() -> None:
    place = HERE.parent.parent / "docs"
    text = (place / "page.md").read_text()
    parts = {path.name for path in HERE.iterdir() if path.suffix in (".py", ".js", ".html", ".css", ".svg")}
    named = set(re.findall(r"`([\w.]+\.(?:py|js|html|css|svg))`", text))
    assert named == parts - {"__init__.py"}
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (place / target).exists(), target
    assert f"npm pack {PACKAGE}@{VERSION}" in text
    assert f"onnxruntime_web={PACKAGE}-{VERSION}.tgz" in text
