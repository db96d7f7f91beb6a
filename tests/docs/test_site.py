"""The site builds without a warning, asks nothing of other servers, and has what it should."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import rmc_agents
import rmc_rl
from rmc_rl.config import TRAIN
from rmc_rl.overrides import groups
from rmc_rl.supervised.config import SUPERVISED
from tests.docs.blocks import PAGES, ROOT

ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?https?:|<link[^>]*rel=["']?stylesheet[^>]*https?:"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as continuous integration builds it."""
    folder = tmp_path_factory.mktemp("site")
    variables = {
        "NO_MKDOCS_2_WARNING": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "envs"))),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.search("WARNING|ERROR", said), said
    return folder


def html(site: Path, page: str) -> str:
    """A page of the site, by its place in ``docs``."""
    name = page.removesuffix(".md")
    return (site / (name.removesuffix("index") if name.endswith("index") else name) / "index.html").read_text()


@pytest.mark.slow
def test_every_page_is_there_and_whole(site: Path) -> None:
    for page in PAGES:
        if page.startswith("docs/"):
            text = html(site, page.removeprefix("docs/"))
            assert "<h1" in text, page
            assert "<!-- made:" not in text, page
            assert not re.search(r"^\s*(?:<p>)?:::", text, re.MULTILINE), page


@pytest.mark.slow
def test_nothing_is_asked_of_other_servers(site: Path) -> None:
    files = [path for path in site.rglob("*.*") if path.is_file()]  # a page of a source file is a folder
    pages = [path for path in files if path.suffix == ".html"]
    styles = [path for path in files if path.suffix == ".css"]
    assert len(pages) > 40
    assert len(styles) > 1
    for path in pages:
        assert not ELSEWHERE.search(path.read_text()), path
    for path in styles:
        assert not re.search(r"url\([\"']?https?:|@import", path.read_text()), path


def test_what_would_be_asked_of_others_is_seen() -> None:
    assert ELSEWHERE.search('<script async src="https://cdn.example/x.js">')
    assert ELSEWHERE.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert not ELSEWHERE.search('<a href="https://arxiv.org/abs/1806.01822"> <script src="assets/x.js">')


@pytest.mark.slow
def test_every_key_and_choice_is_in_the_reference(site: Path) -> None:
    text = html(site, "configuration.md")
    for schema, prefix in ((TRAIN, ""), (SUPERVISED, "supervised-")):
        for key, item in schema.describe():
            assert f'id="{prefix}{key}"' in text, key
            assert item.metadata["meaning"]
        for options in groups(schema).values():
            for option in options:
                assert re.search(rf"<label[^>]*>{option}</label>", text), option


@pytest.mark.slow
def test_every_public_name_is_in_the_api(site: Path) -> None:
    text = html(site, "api/rmc_agents.md") + html(site, "api/rmc_rl.md")
    ids = {name.rpartition(".")[2] for name in re.findall(r'id="(rmc_\w+(?:\.\w+)+)"', text)}
    assert {*rmc_agents.__all__, *rmc_rl.__all__} - {"__version__"} <= ids


@pytest.mark.slow
def test_what_lies_outside_docs_is_a_page_too(site: Path) -> None:
    assert "class RelationalMemory" in re.sub(
        "<[^>]*>", "", (site / "source/agents/rmc_agents/rmc.py/index.html").read_text()
    )
    results = (site / "results" / "minipacman-viewport" / "index.html").read_text()
    assert 'src="curve.png"' in results
    assert (site / "results" / "minipacman-viewport" / "curve.png").stat().st_size > 1000
    for folder in (ROOT / "results").glob("*/README.md"):
        assert f"results/{folder.parent.name}/" in html(site, "benchmarks.md"), "in the navigation"


def test_the_navigation_lists_every_page() -> None:
    class Loader(yaml.SafeLoader):
        """Of a file that names a Python function it says nothing."""

    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)

    def entries(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        else:
            for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
                yield from entries(each)

    listed = list(entries(config["nav"]))
    assert len(set(listed)) == len(listed)
    assert set(listed) == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert config["strict"] is True


# What single pages say


def literals() -> Iterator[str]:
    """Every string in our sources; what is filled in is an ellipsis."""
    for folder in ("rmc_rl", "agents", "envs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def is_said(message: str, said: set[str]) -> bool:
    """Whether one string of the sources makes up most of a message, what is filled in there or left out here aside."""
    quoted = [part.strip() for part in message.split("…") if len(part.strip()) > 3]
    for text in said:
        pieces = [part.strip() for part in text.split("…") if len(part.strip()) > 3]
        if all(
            any(part in piece for piece in pieces)
            or sum(len(piece) for piece in pieces if piece in part) > 0.5 * len(part)
            for part in quoted
        ):
            return True
    return False


def test_troubleshooting_quotes_what_the_code_says() -> None:
    entries = re.findall(r"^\*\*(.+)\*\*\n:   ", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    messages = [message for entry in entries for message in re.findall("`([^`]+)`", entry)]
    of_pip = ("has conflicting dependencies", "-c constraints.txt")
    ours = [message for message in messages if not message.endswith(of_pip)]
    assert len(ours) > 20
    said = set(literals())
    assert [message for message in ours if not is_said(message, said)] == []
    assert not is_said("the environment resets nothing …", said)


def test_every_experiment_is_on_the_page_of_the_paper() -> None:
    shipped = {*groups(TRAIN)["experiment"], *groups(SUPERVISED)["experiment"]}
    page = PAGES["docs/paper.md"]
    assert {name for name in shipped if name not in page} == set()
    assert set(re.findall(r"paper-[a-z-]+[a-z]", page)) <= shipped


def test_contributing_names_places_that_exist() -> None:
    page = PAGES["docs/contributing.md"]
    places = [place for place in re.findall(r"`([\w./]+/[\w./]*)`", page) if "<" not in place]
    assert len(places) > 10
    for place in places:
        assert (ROOT / place).exists() or (ROOT / "rmc_rl" / place).exists(), place
    modules = re.findall(r"`(\w+\.py)`", page)
    for module in modules:
        assert any(list((ROOT / folder).rglob(module)) for folder in ("rmc_rl", "envs")), module


def test_every_how_to_is_listed() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    section = config[config.index("- how-to.md") : config.index("- Reference:")]
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES["docs/how-to.md"]))
    reference = {"commands.md", "metrics.md"}
    assert listed - reference == set(re.findall(r"- ([\w-]+\.md)", section)) - {"how-to.md"}
