from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmc_rl.curves.runs import Run, read_run
from rmc_rl.curves.settings import Setting, by_setting
from rmc_rl.report import tables
from rmc_rl.report.tables import Table
from tests.rmc_rl.recorded import write_run, write_supervised_run

NAN = float("nan")


def _pens(settings: list[Setting]) -> dict[str, str]:
    return {setting.label: f"pen-{i}" for i, setting in enumerate(settings)}


def _rows(table: Table) -> list[dict[str, str]]:
    return [dict(zip([head.name for head in table.heads], row.cells, strict=True)) for row in table.rows]


@pytest.fixture
def settings(tmp_path: Path) -> list[Setting]:
    """Three seeds of one core, one of another that was stopped before an episode ended."""
    seeds = [[0.5, 0.9, 0.7], [0.1, 0.2, 0.5], [0.3, 0.3, 0.6]]
    runs = [
        read_run(write_run(tmp_path / f"rmc-{i}", returns=returns, settings={"seed": i, "total_steps": 4000}))
        for i, returns in enumerate(seeds)
    ]
    unborn = write_run(tmp_path / "lstm-0", core="lstm", returns=[NAN], settings={"total_steps": 4000})
    return by_setting([*runs, read_run(unborn)])


def test_scores_of_settings(settings: list[Setting]) -> None:
    lstm, rmc = _rows(tables.scores(settings, "return_mean", _pens(settings)))
    assert rmc["setting"] == "core=rmc"
    assert rmc["seeds"] == "3"
    assert rmc["final return_mean"] == "0.60 (0.50 to 0.70)"
    assert rmc["highest"] == "0.9"
    assert rmc["steps"] == "3,000"
    assert rmc["time"] == "1.5 s"
    assert rmc["steps/s"] == "2,000"
    assert (lstm["seeds"], lstm["final return_mean"], lstm["highest"]) == ("1", "–", "–")  # noqa: RUF001


def test_scores_of_runs(settings: list[Setting]) -> None:
    rows = {row["run"]: row for row in _rows(tables.run_scores(settings, "return_mean", _pens(settings)))}
    assert rows["rmc-0"]["final return_mean"] == "0.7"
    assert rows["rmc-0"]["highest"] == "0.9 at 2 k"
    assert rows["rmc-0"]["of its budget"] == "75 %"
    assert rows["lstm-0"]["of its budget"] == "25 %"
    assert rows["rmc-2"]["seed"] == "2"


def test_evaluations_have_their_interval(settings: list[Setting]) -> None:
    run = settings[1].runs[0]
    record: dict[str, Any] = {"mean_return_sampled": 441.69, "ci95_return_sampled": 17.85, "episodes": 200}
    record |= {"mean_return_greedy": "<b>many</b>", "seed": 3}
    (run.path / "evaluation.json").write_text(json.dumps(record))
    again = by_setting([read_run(run.path), settings[1].runs[1]])
    found = tables.evaluations(again, _pens(again))
    assert found is not None
    (row,) = _rows(found)
    assert (row["run"], row["episodes"], row["sampled"]) == ("rmc-0", "200", "441.69 ± 17.85")
    assert (row["greedy"], row["after steps"]) == (tables.NOTHING, tables.NOTHING), "what is no number is not shown"
    assert tables.evaluations(settings, _pens(settings)) is None


def test_throughput(tmp_path: Path) -> None:
    columns = {"env_speed": [NAN, 2e6, 1e6], "learner_busy": [0.5, 0.7, 0.9], "memory_mb": [10, 400, 300]}
    runs = by_setting([read_run(write_run(tmp_path / "a", columns=columns))])
    (row,) = _rows(tables.throughput(runs, _pens(runs)))
    assert row["steps/s"] == "2,000"
    assert row["env_speed"] == "1.5 M"
    assert row["learner_busy"] == "70 %"
    assert row["memory"] == "400 MB"
    assert row["restarts"] == "0"


def test_supervised_runs_are_told_in_updates_and_sequences(tmp_path: Path) -> None:
    runs = [
        read_run(write_supervised_run(tmp_path / str(seed), settings={"seed": seed, "total_steps": 600}))
        for seed in range(2)
    ]
    settings = by_setting(runs)
    pens = _pens(settings)
    (setting,) = _rows(tables.scores(settings, "test_accuracy", pens))
    assert (setting["final test_accuracy"], setting["updates"], setting["updates/s"]) == ("0.9", "300", "2")
    assert [row["of its budget"] for row in _rows(tables.run_scores(settings, "test_accuracy", pens))] == ["50 %"] * 2
    (row,) = _rows(tables.throughput(settings, pens))
    assert row == {
        "setting": "core=rmc",
        "updates/s": "2",
        "sequences_per_second": "130",
        "data_share": "25 %",
        "memory": "0 MB",
    }


def test_settings_differ_and_share(settings: list[Setting]) -> None:
    found = tables.differing(settings, _pens(settings))
    assert found is not None
    assert _rows(found) == [{"setting": "core=lstm", "core": "lstm"}, {"setting": "core=rmc", "core": "rmc"}]
    common = {row["key"]: row["value"] for row in _rows(tables.shared(settings))}
    assert common["learner.learning_rate"] == "6e-4"
    assert common["env.name"] == "repeat-first"
    assert "core.name" not in common
    assert "core.mem_slots" not in common
    assert "seed" not in common
    alone = by_setting(settings[1].runs)
    assert tables.differing(alone, _pens(alone)) is None


def _with_versions(folder: Path, versions: dict[str, Any]) -> Run:
    return read_run(write_run(folder, versions=versions))


def test_machines_say_what_all_share_and_what_differs(tmp_path: Path) -> None:
    one = _with_versions(tmp_path / "a", {"python": "3.11", "commit": "abc", "cores": 2, "command": ["x"]})
    two = _with_versions(tmp_path / "b", {"python": "3.11", "commit": None, "cores": 2})
    same, others = tables.machines([one, two])
    assert _rows(same) == [{"what": "python", "value": "3.11"}, {"what": "cores", "value": "2"}]
    assert others is not None
    assert _rows(others) == [{"run": "a", "commit": "abc"}, {"run": "b", "commit": "not known"}]
    assert tables.machines([one])[1] is None
    assert tables.machines([_with_versions(tmp_path / "c", {})]) == (Table(same.heads, []), None)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/home/me/rmc_rl/train.py", "seed=1", "runs_dir=a b"], "python -m rmc_rl.train seed=1 'runs_dir=a b'"),
        (["/x/rmc_rl/supervised/__main__.py"], "python -m rmc_rl.supervised"),
        (["/usr/bin/mine.py", "--fast"], "mine.py --fast"),
        ([], "not known"),
        ("rm -rf", "not known"),
        ([1, {"a": 2}], "1 '{'\"'\"'a'\"'\"': 2}'"),
    ],
)
def test_commands_are_told_without_the_machines_folders(tmp_path: Path, command: Any, words: str) -> None:
    run = _with_versions(tmp_path / "a", {"command": command})
    assert _rows(tables.commands([run])) == [{"run": "a", "command": words}]
