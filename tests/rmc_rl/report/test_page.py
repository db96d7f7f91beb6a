"""The page is read as a browser reads it: by its elements, not by its letters."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rmc_rl.curves.runs import Run, read_run
from rmc_rl.errors import UserError
from rmc_rl.report.episode import Episode
from rmc_rl.report.page import render
from tests.rmc_rl.recorded import write_run, write_supervised_run

HOSTILE = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}{% raw %}"
ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "nav",
        "ul",
        "li",
        "a",
        "main",
    ),
    *("section", "figure", "figcaption", "div", "svg", "path", "text", "circle", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "details", "summary", "span", "video", "script"),
}


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = [""]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open[-1]:
            self.texts[self._open[-1]][-1] += data

    @property
    def text(self) -> str:
        return " ".join(text for tag, texts in self.texts.items() if tag not in ("script", "style") for text in texts)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _page(*runs: Run, metric: str | None = None, episodes: tuple[Episode, ...] = ()) -> Page:
    return Page(render(runs, metric=metric, x="steps", episodes=episodes))


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [
        read_run(write_run(tmp_path / f"{core}-{seed}", core=core, settings={"seed": seed}))
        for core in ("rmc", "lstm")
        for seed in range(3)
    ]


def test_the_page_tells_of_every_run_and_setting(runs: list[Run]) -> None:
    page = _page(*runs)
    assert page.texts["title"] == ["repeat-first · rmc-rl"]
    assert "6 runs of 2 settings" in page.text
    for run in runs:
        assert run.name in page.text
    for words in ("core=lstm", "core=rmc", "0.9", "abc123", "Linux-6", "python -m rmc_rl.train seed=1", "6e-4"):
        assert words in page.text
    assert "band: its 95 % bootstrap interval" in page.text
    assert "mean undiscounted return of the last 100 episodes that ended" in page.text
    assert "policy_lag stayed at 0" in page.text
    assert page.of("video") == []


def test_supervised_runs_have_a_score_and_columns_of_their_own(runs: list[Run], tmp_path: Path) -> None:
    model = read_run(write_supervised_run(tmp_path / "model"))
    page = _page(model)
    assert page.texts["title"] == ["memorization · rmc-rl"]
    assert page.texts["h3"][:1] == ["loss"], "what moved"
    assert "test_accuracy: share of the answers in the last evaluation that were right" in page.text
    assert {"updates", "final test_accuracy", "updates/s", "sequences_per_second"} <= set(page.texts["th"])
    assert not {"steps", "steps/s", "env_speed", "restarts"} & set(page.texts["th"])
    assert "environment steps" not in page.text
    both = _page(model, *runs)
    assert {"final test_accuracy", "final return_mean"} <= set(both.texts["th"])
    with pytest.raises(UserError, match=r"no run of repeat-first has a number in column 'test_accuracy' yet"):
        _page(model, *runs, metric="test_accuracy")


def test_the_contents_lead_somewhere(runs: list[Run], tmp_path: Path) -> None:
    other = read_run(write_run(tmp_path / "other", env="minipacman"))
    for page in (_page(*runs), _page(*runs, other)):
        targets = [link["href"] for link in page.of("a")]
        anchors = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(anchors) == len(set(anchors))
        assert len(targets) >= 5
        assert all(target.removeprefix("#") in anchors for target in targets)


def test_the_policy_lets_only_the_pages_own_script_and_style_in(runs: list[Run]) -> None:
    page = _page(*runs)
    (policy,) = (meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for kind in ("style", "script"):
        (text,) = page.texts[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    assert page.elements.index(("meta", {"http-equiv": "Content-Security-Policy", "content": policy})) < next(
        i for i, (tag, _) in enumerate(page.elements) if tag in ("style", "script")
    ), "before what it governs"


def test_nothing_is_loaded_and_no_style_is_inline(runs: list[Run]) -> None:
    page = _page(*runs, episodes=(Episode("rmc-0", "It went well.", "data:video/mp4;base64,AAAA"),))
    for tag, attributes in page.elements:
        assert tag in ELEMENTS, tag
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert [video["src"] for video in page.of("video")] == ["data:video/mp4;base64,AAAA"]
    assert "It went well." in page.text
    assert "url(" not in page.texts["style"][0]
    assert "@import" not in page.texts["style"][0]


def test_what_strangers_wrote_stays_text(tmp_path: Path) -> None:
    """In a folder's name, in names and values of the configuration, in versions, the command and the CSV's header."""
    slashless = HOSTILE.replace("/", "_")
    versions = {HOSTILE: HOSTILE, "commit": [HOSTILE], "command": ["/x/rmc_rl/train.py", HOSTILE]}
    runs = []
    for i in range(2):
        settings = {"env.name": HOSTILE, "core.name": f"{HOSTILE}{i}", "learner.optimizer": HOSTILE}
        folder = write_run(
            tmp_path / f"{i}{slashless}"[:200], settings=settings, versions=versions, columns={HOSTILE: [1, 2, 3]}
        )
        config = folder / "config.yaml"
        config.write_text(config.read_text() + f"{json.dumps(HOSTILE)}: {json.dumps(HOSTILE)}\n")
        runs.append(read_run(folder))
    episode = Episode(runs[0].name, HOSTILE, "")
    page = _page(*runs, metric=HOSTILE, episodes=(episode,))
    clean = _page(read_run(write_run(tmp_path / "clean")))
    assert page.texts["script"] == clean.texts["script"]
    assert page.texts["style"] == clean.texts["style"]
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    known = {name for _, attributes in clean.elements for name in attributes} | {"title"}
    assert {name for _, attributes in page.elements for name in attributes} <= known
    assert page.text.count(HOSTILE) >= 10, "it is shown, as text"
    assert HOSTILE in page.texts["title"][0]
    readings = [
        json.loads(attributes["data-readings"]) for attributes in page.of("div") if "data-readings" in attributes
    ]
    assert {line["label"] for reading in readings for line in reading["lines"]} == {
        f"core={HOSTILE}0",
        f"core={HOSTILE}1",
    }


def test_the_script_writes_text_only() -> None:
    script = (Path(sys.modules[render.__module__].__file__ or "").parent / "page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", script)


def test_a_run_without_a_number_in_the_score_is_told(tmp_path: Path) -> None:
    unborn = read_run(write_run(tmp_path / "a", returns=[float("nan")]))
    with pytest.raises(UserError, match=r"no run of repeat-first has a number in column 'return_mean' yet"):
        _page(unborn)


def test_columns_that_a_run_has_not_are_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "metrics.csv").write_text("steps,return_mean\n10,1\n20,2\n")
    (folder / "versions.json").unlink()
    page = _page(read_run(folder))
    assert "These runs did not write down what ran them" in page.text
    assert page.texts["h2"] == ["Score", "Learning", "Throughput", "Settings", "Hardware and versions"]


def test_without_jinja2_the_remedy_is_named(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r'need jinja2, .*: pip install "rmc-rl\[plot\]"'):
        _page(*runs)
