"""What is made while the site is built."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmc_rl.__main__ import verbs
from rmc_rl.config import TRAIN
from rmc_rl.supervised.config import SUPERVISED
from tests.docs.blocks import ROOT

pytest.importorskip("mkdocs")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a hook by its name, as MkDocs does."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))
    return importlib.import_module


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table's rows, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_a_key_has_type_limits_value_and_meaning(hook: Any) -> None:
    tables = hook("configuration_tables")
    found = {row[0]: row[1:] for row in rows(tables.keys(TRAIN, ""))}
    assert len(found) == len(TRAIN.describe())
    assert found["`learner.discount`{ #learner.discount }"] == ["float from 0 to 1", "`0.99`", "discount per step"]
    assert found["`total_steps`{ #total_steps }"][:2] == ["int from 1", "`10000000`"]
    assert found["`actor.num_actors`{ #actor.num_actors }"][:2] == ["int from 1 or `null`", "`null`"]
    assert found["`learner.rho_bar`{ #learner.rho_bar }"][0] == "float above 0, or `inf`"
    assert found["`device`{ #device }"][0] == "`auto`, `cpu`, `cuda`"
    assert found["`env.id`{ #env.id }"] == ["str", "Gymnasium id, optionally 'module:id'"], (
        "a group's values are elsewhere"
    )
    assert "### `learner`: How the agent learns from it (IMPALA; V-trace) { #learner }" in tables.keys(TRAIN, "")
    assert "{ #supervised-learner.batch_size }" in tables.keys(SUPERVISED, "supervised-")


def test_a_choice_is_shown_as_it_is_shipped(hook: Any) -> None:
    tabs = hook("configuration_tables").choices(TRAIN, "core")
    shown = re.findall(r'=== "(\w+)"\n\n    ```yaml\n(.*?)\n    ```', tabs, re.DOTALL)
    assert [name for name, _ in shown] == sorted(path.stem for path in (ROOT / "configs" / "core").glob("*.yaml"))
    for name, text in shown:
        assert re.sub("(?m)^    ", "", text) == (ROOT / "configs" / "core" / f"{name}.yaml").read_text().rstrip()


def test_every_verb_has_a_heading_and_its_options(hook: Any) -> None:
    made = hook("configuration_tables").commands()
    assert re.findall("^## (.+)$", made, re.MULTILINE) == list(verbs())
    section = made[made.index("## evaluate") : made.index("## export")]
    assert "python -m rmc_rl.evaluate run=latest episodes=200" in section
    assert ["`episodes`", "int from 1", "`200`", "episodes played in each mode"] in rows(section)


def test_the_bars_are_the_measurements(hook: Any) -> None:
    made = hook("speed_tables").against_peers("rmc")
    files = [json.loads(path.read_text()) for path in (ROOT / "results" / "throughput").glob("*-rmc.json")]
    assert made.count("<tr><td>") == len(files) >= 4
    for found in files:
        peer = found["peer"]
        assert f"{peer['version']}<br>" in made
        assert f"<b>{found['end_to_end']['steps_per_second']:,.0f}</b>" in made
        assert f"<b>{peer['steps_per_second']:,.0f}</b>" in made
        share = 100 * peer["steps_per_second"] / max(peer["steps_per_second"], found["end_to_end"]["steps_per_second"])
        assert f"<span class='theirs' style='width: {share:.1f}%'>" in made
        assert f"<td class=ratio>{found['ratio']:.2f}</td>" in made
    ratios = [float(ratio) for ratio in re.findall(r"class=ratio>([\d.]+)<", made)]
    assert ratios == sorted(ratios, reverse=True)


def test_scaling_is_shown_by_machine_and_axis(hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = hook("speed_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.scaling() == "No machine's figures are kept yet."
    versions = {"python": "3.11.7", "torch": "2.13.0", "ray": "2.60.0", "numpy": "2.4.6", "numba": "0.68.1"}
    versions |= {"processor": "A processor", "cores": 8, "gpu": None, "commit": "0123456789", "command": "python -m x"}
    points = [
        {"value": 1, "steps_per_second": 1000.0, "cpu_microseconds_per_step": 50.0},
        {"value": 2, "steps_per_second": 2000.0, "cpu_microseconds_per_step": 60.0},
    ]
    (tmp_path / "scaling").mkdir()
    axes = {"actors": {"key": "actor.num_actors", "points": points}}
    (tmp_path / "scaling" / "here.json").write_text(json.dumps({"versions": versions, "axes": axes}))
    made = tables.scaling()
    assert "### A processor, 8 cores\n" in made
    assert "`python -m x`: commit `0123456`, python 3.11.7, torch 2.13.0" in made
    assert "#### Actor processes (`actor.num_actors`)" in made
    assert "<tr><td>1</td>" in made
    assert "width: 50.0%'></span><b>1,000</b>" in made


def test_an_unknown_name_stops_the_build(hook: Any) -> None:
    tables = hook("tables")
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="some.md"))
    assert tables.on_page_markdown("# Title\n", page) == "# Title\n"
    with pytest.raises(tables.PluginError, match=r"some.md: nothing is made by the name of 'speeds'"):
        tables.on_page_markdown("<!-- made: speeds -->\n", page)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("docs/games/index.md", "games/index.md"),
        ("docs/make_memory.py", "source/docs/make_memory.py.md"),
        ("README.md", "index.md"),
        ("envs/README.md", "source/envs/README.md"),
        ("results/soak/README.md", "results/soak.md"),
        ("results/soak/memory.png", "results/soak/memory.png"),
        ("configs/core", "source/configs/core-folder.md"),
        ("docs/hooks", "source/docs/hooks-folder.md"),
        ("configs/core/rmc.yaml", "source/configs/core/rmc.yaml.md"),
    ],
)
def test_the_place_of_a_file_on_the_site(hook: Any, path: str, uri: str) -> None:
    assert hook("repository").site_uri(path) == uri


def test_links_into_the_repository_lead_to_the_site(hook: Any) -> None:
    repository = hook("repository")
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="games/index.md"))
    block = "\n```\n[e](../../README.md)\n```\n"
    text = "[a](../../envs/README.md#play) [b](boxworld.md) [c](https://x.org) [d](#here)"
    led = "[a](../source/envs/README.md#play) [b](boxworld.md) [c](https://x.org) [d](#here)"
    assert repository.on_page_markdown(text + block, page, files=None) == led + block
