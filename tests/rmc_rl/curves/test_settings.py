from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rmc_rl.curves.runs import Run, read_run
from rmc_rl.curves.settings import by_environment, by_setting, distinctions, typed
from tests.rmc_rl.recorded import write_run


def _run(folder: Path, core: str = "rmc", env: str = "repeat-first", **settings: Any) -> Run:
    name = f"{core}-{len(list(folder.iterdir()))}"
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return read_run(write_run(folder / name, core=core, env=env, settings=dotted))


def test_seeds_become_one_setting_and_cores_are_told_apart_by_their_name_alone(tmp_path: Path) -> None:
    runs = [_run(tmp_path, core, seed=seed) for core in ("rmc", "lstm") for seed in (2, 0, 1)]
    settings = by_setting(runs)
    assert [setting.label for setting in settings] == ["core=lstm", "core=rmc"]
    assert [[run.settings["seed"] for run in setting.runs] for setting in settings] == [[0, 1, 2]] * 2


def test_what_does_not_change_learning_makes_no_setting(tmp_path: Path) -> None:
    others = {"seed": 1, "group": "g", "runs_dir": "there", "wandb": "offline", "log.every_steps": 7}
    others |= {"checkpoint.every_seconds": 1.0, "trust": True, "profile": True, "resume": None}
    first = _run(tmp_path)
    second = read_run(write_run(tmp_path / "other", settings=others))
    (setting,) = by_setting([first, second])
    assert len(setting.runs) == 2
    assert setting.label == "core=rmc", "with nothing to be told apart from, the core"


def test_labels_hold_each_key_that_differs_as_it_is_typed(tmp_path: Path) -> None:
    rates = (1e-3, 1e-4, 6e-4)
    settings = by_setting([_run(tmp_path, learner__learning_rate=rate) for rate in rates])
    assert [setting.label for setting in settings] == [
        "learner.learning_rate=1e-4",
        "learner.learning_rate=6e-4",
        "learner.learning_rate=1e-3",
    ], "numbers by their size"
    both = by_setting([_run(tmp_path, c, learner__learning_rate=r) for c in ("rmc", "lstm") for r in (1e-3, 1e-4)])
    assert both[0].label == "core=lstm learner.learning_rate=1e-4"
    assert len(both) == 4


def test_a_key_of_a_chosen_section_counts_among_those_that_chose_alike(tmp_path: Path) -> None:
    runs = [_run(tmp_path, core__mem_slots=2), _run(tmp_path, core__mem_slots=8), _run(tmp_path, "lstm")]
    assert [setting.label for setting in by_setting(runs)] == [
        "core=lstm",
        "core=rmc core.mem_slots=2",
        "core=rmc core.mem_slots=8",
    ]


def test_environments_are_not_mixed(tmp_path: Path) -> None:
    runs = [_run(tmp_path, core, env) for env in ("repeat-first", "minipacman") for core in ("rmc", "lstm")]
    found = by_environment(runs)
    assert list(found) == ["minipacman", "repeat-first"]
    assert [setting.label for setting in found["minipacman"]] == ["core=lstm", "core=rmc"]


def test_a_key_that_one_has_not_is_told() -> None:
    assert distinctions([{"a": 1, "b": 2}, {"a": 1}]) == [{"b": 2}, {"b": "absent"}]
    assert distinctions([{"a": 1}]) == [{}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.001, "1e-3"), (0.0006, "6e-4"), (0.01, "0.01"), (0.99, "0.99"), (1.0, "1.0"), (1e-5, "1e-5")),
        *((0.00123456789, "0.00123456789"), (float("inf"), "inf"), (2_000_000, "2e6"), (1_500_000, "1.5e6")),
        *((123_457, "123457"), (99_000, "99000"), (-0.001, "-1e-3"), (3, "3")),
        *((True, "true"), (None, "null"), ("a b", "a b"), ([1, None], "[1,null]")),
    ],
)
def test_values_are_written_as_they_are_typed(value: Any, text: str) -> None:
    assert typed(value) == text
