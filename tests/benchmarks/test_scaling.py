"""What is measured along an axis, and the file that the documentation reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scaling
from rmc_rl.config import make_config


@pytest.mark.parametrize(("cores", "actors"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])])
def test_as_many_actors_as_cores_at_most(cores: int, actors: list[int]) -> None:
    assert scaling.points(cores)["actors"] == {"actor.num_actors": actors}


def test_every_axis_is_within_the_limits() -> None:
    for axis in scaling.points(2).values():
        for key, values in axis.items():
            for value in (min(values), max(values)):
                make_config(f"{key}={value}")


@pytest.mark.slow
def test_the_file_has_every_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scaling.json"
    small = ["env=repeat-first", "engine=inline", "core.mem_slots=2", "core.head_size=4", "device=cpu"]
    words = ["--seconds", "0.1", "--rounds", "1", "--axes", "unroll", "--file", str(file), *small]
    monkeypatch.setattr(sys, "argv", ["scaling", *words])
    scaling.main()
    found: dict[str, Any] = json.loads(file.read_text())
    assert list(found["axes"]) == ["unroll"]
    measured = found["axes"]["unroll"]
    assert measured["key"] == "actor.unroll_length"
    assert [point["value"] for point in measured["points"]] == [5, 10, 20, 40, 80]
    assert all(point["steps_per_second"] > 0 for point in measured["points"])
    assert found["versions"]["command"].startswith("python -m benchmarks.scaling --seconds 0.1")


def test_an_unknown_axis_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--axes", "games,learners"])
    with pytest.raises(SystemExit):
        scaling.main()
    assert "--axes: learners is not known: games, actors, unroll, slots" in capsys.readouterr().err
