from __future__ import annotations

import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from rmc_rl.curves.runs import read_run
from rmc_rl.options import parse_options
from rmc_rl.plot import PlotOptions
from rmc_rl.report.__main__ import ReportOptions, best_runs, main
from tests.rmc_rl.recorded import write_run, write_supervised_run

NAN = float("nan")


def _call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["report", *words])
    main()


def test_a_page_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs" / f"run-{seed}", settings={"seed": seed, "group": "g"})
    write_run(tmp_path / "runs" / "alone")
    _call(monkeypatch, tmp_path, "group=g", "file=pages/mine.html", "episode=false")
    out, err = capsys.readouterr()
    assert re.fullmatch(r"pages/mine\.html: 3 runs, \d+ kB\n", out)
    assert err == ""
    page = (tmp_path / "pages" / "mine.html").read_text()
    assert "run-2" in page
    assert "alone" not in page
    _call(monkeypatch, tmp_path, "runs=[run-*,alone]", "episode=false", "x=seconds")
    assert capsys.readouterr().out.startswith("report.html: 4 runs")
    assert "training time in seconds" in (tmp_path / "report.html").read_text()


def test_an_episode_that_cannot_be_recorded_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "bare")
    _call(monkeypatch, tmp_path)
    out, err = capsys.readouterr()
    assert out.startswith("report.html: 1 run, ")
    assert err.count("No episode of bare was recorded: ") == 1
    assert "No episode of bare was recorded: " in (tmp_path / "report.html").read_text()


def test_a_supervised_run_needs_no_words_and_has_no_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_supervised_run(tmp_path / "runs" / "model")
    _call(monkeypatch, tmp_path)
    out, err = capsys.readouterr()
    assert out.startswith("report.html: 1 run, ")
    assert "Episode" not in (tmp_path / "report.html").read_text()
    assert err == ""


def test_an_agent_of_the_package_has_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _call(monkeypatch, tmp_path, "pretrained=minipacman-viewport", "episode_steps=3")
    assert capsys.readouterr().out.startswith("report.html: 1 run, ")
    page = (tmp_path / "report.html").read_text()
    assert "minipacman-viewport, seed 1073741824: return " in page
    assert "evaluat" in page.lower()
    for other in ("runs=[a,b]", "group=latest"):
        with pytest.raises(SystemExit):
            _call(monkeypatch, tmp_path, "pretrained=minipacman-viewport", other)
        assert f"pretrained=minipacman-viewport and {other} name two agents" in capsys.readouterr().err


def test_half_a_letter_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escapes can spell what UTF-8 cannot."""
    versions = {"processor": "half \ud800 a letter"}
    write_run(tmp_path / "runs" / "a", settings={"env.name": "\udcff"}, versions=versions)
    config = tmp_path / "runs" / "a" / "config.yaml"
    assert "\\uDCFF" in config.read_text()
    _call(monkeypatch, tmp_path, "episode=false")
    assert "half ? a letter" in (tmp_path / "report.html").read_text()


def test_the_best_run_of_each_environment_plays(tmp_path: Path) -> None:
    returns = {"a": [9, 1], "b": [0, 2], "c": [0, NAN]}
    runs = [read_run(write_run(tmp_path / name, returns=values)) for name, values in returns.items()]
    other = read_run(write_run(tmp_path / "d", env="minipacman", returns=[-5]))
    unborn = read_run(write_run(tmp_path / "e", env="boxworld", returns=[NAN]))
    model = read_run(write_supervised_run(tmp_path / "f"))
    assert sorted(run.name for run in best_runs([*runs, other, unborn, model], None)) == ["b", "d"]
    assert [run.name for run in best_runs(runs[:2], "return_mean")] == ["b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs=nowhere"], "the run nowhere does not exist"),
        (["runs=begun"], "begun holds no metrics.csv: there is nothing to draw yet"),
        (["metric=retrun_mean"], "has no column 'retrun_mean': did you mean 'return_mean'"),
        (["x=sequences"], "has no column 'sequences'"),
        (["file=page.pdf"], "file=page.pdf: the name must end in .html or .htm"),
        (["file=folder.html"], "file=folder.html is a folder"),
        (["episode_steps=0"], "episode_steps=0 is too small"),
        (["run=a"], "unknown option 'run': did you mean 'runs'"),
    ],
)
def test_bad_input_is_one_message(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "begun").mkdir()
    (tmp_path / "runs" / "begun" / "config.yaml").touch()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(SystemExit) as leaving:
        _call(monkeypatch, tmp_path, *words, "episode=false")
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_the_documents_words_are_options() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reports.md").read_text()
    typed = {
        "plot": (PlotOptions, re.findall(r"^python -m rmc_rl\.plot (.*)$", page, re.MULTILINE)),
        "report": (ReportOptions, re.findall(r"^python -m rmc_rl\.report (.*)$", page, re.MULTILINE)),
    }
    assert [len(commands) for _, commands in typed.values()] == [3, 1]
    for schema, commands in typed.values():
        for command in commands:
            parse_options(schema, shlex.split(command), "")
    tables = re.findall(r"^\| `(\w+)=([^`…]+)`", page, re.MULTILINE)
    known = {item.name for schema, _ in typed.values() for item in fields(schema)}
    assert len(tables) >= 10
    assert {name for name, _ in tables} <= known
