"""What is measured of the core and of the learners around it, and what the last line says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import core_speed
from rmc_rl.supervised.config import SUPERVISED

SMALL = ("task.num_vectors=3", "task.dimensions=2", "learner.batch_size=6", "model.hidden_sizes=[4]")
RMC = ("core.mem_slots=2", "core.head_size=2", "core.num_heads=2", *SMALL)
LEARNERS = {
    "nth_farthest": {
        "ours": RMC,
        "plain": (*RMC, "core.fast=false"),
        "lstm": ("core=lstm", "core.hidden_size=3", *SMALL),
    },
    "paper_programs": {"ours": ("task=full-program", *RMC[:3], "learner.batch_size=6")},
}


def printed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[str, dict[str, Any]]:
    """All lines, and the last one read."""
    monkeypatch.setattr(sys, "argv", ["core_speed", "--seconds", "0.001", *words])
    core_speed.main()
    out = capsys.readouterr().out
    return out, json.loads(out.splitlines()[-1])


def test_the_core_alone_by_default(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(core_speed, "SIZES", {"4x8": 8})
    monkeypatch.setattr(core_speed, "memory_megabytes", lambda steps, batch, **options: steps)
    _, result = printed(["--steps", "3", "--batch", "2", "--acting-batch", "5"], monkeypatch, capsys)
    on_linux = ["peak_megabytes"] if sys.platform == "linux" else []
    assert list(result) == ["device", "threads", "steps", "4x8", *on_linux, "torch"]
    measured = result["4x8"]
    assert list(measured) == [
        *("parameters", "multiplications", "relative_error"),
        *("training_batch_2_microseconds", "acting_batch_5_microseconds"),
    ]
    assert measured["parameters"] == sum(p.numel() for p in core_speed.make(8, "cpu").parameters())
    assert all(error < 1e-4 for error in measured["relative_error"]["fast"])
    for entry in (measured["training_batch_2_microseconds"], measured["acting_batch_5_microseconds"]):
        assert entry["ratio_fast"] == pytest.approx(entry["reference"] / entry["fast"], rel=2e-3, abs=0.01)


def test_the_learners(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(core_speed, "LEARNERS", LEARNERS)
    words = ["--parts", "training", "--paper-batch", "2", "--learner-threads", "1"]
    out, result = printed(words, monkeypatch, capsys)
    assert list(result) == ["device", "threads", "steps", "training", "torch"]
    training = result["training"]
    assert list(training) == ["threads", "nth_farthest", "paper_programs"]
    assert training["threads"] == 1
    compared = training["nth_farthest"]
    assert (compared["batch"], compared["configured_batch"]) == (6, 6)
    for name in ("ours", "plain", "lstm"):
        figures = compared[name]
        assert figures["sequences_per_second"] == pytest.approx(6 * figures["updates_per_second"], rel=1e-3)
        assert 0 < figures["data_share"] < 1
        assert figures["batch_share"] > 0
    for name in ("plain", "lstm"):
        wanted = compared["ours"]["updates_per_second"] / compared[name]["updates_per_second"]
        assert compared[f"ratio_{name}"] == pytest.approx(wanted, rel=2e-3, abs=0.01)
    assert list(training["paper_programs"]) == ["batch", "configured_batch", "ours"]
    assert (training["paper_programs"]["batch"], training["paper_programs"]["configured_batch"]) == (2, 6)
    assert "nth_farthest, batch 6, threads 1" in out
    assert "paper_programs, batch 2 instead of the configured 6, threads 1" in out


def test_each_learns_on_the_task_it_is_compared_on() -> None:
    sizes = {"nth_farthest": (4, 8), "paper_nth_farthest": (8, 16)}
    for name, (num_vectors, dimensions) in sizes.items():
        made = {model: SUPERVISED.make(*words) for model, words in core_speed.LEARNERS[name].items()}
        for config in made.values():
            assert config.task["name"] == "nth_farthest"
            assert [config.task[key] for key in ("num_vectors", "dimensions")] == [num_vectors, dimensions]
            assert config.task == made["ours"].task
            assert config.learner == made["ours"].learner
            assert config.model == made["ours"].model
            assert config.learner.batch_size == 1600
        assert made["ours"].core == {**made["plain"].core, "fast": True}
        assert made["plain"].core["fast"] is False
        rmc = made["ours"].core
        units = rmc["mem_slots"] * rmc["head_size"] * rmc["num_heads"]
        assert (made["lstm"].core["name"], made["lstm"].core["hidden_size"]) == ("lstm", units)
    programs = SUPERVISED.make(*core_speed.LEARNERS["paper_programs"]["ours"])
    assert (programs.task["program"], programs.learner.batch_size) == ("full", 128)


@pytest.mark.parametrize("option", ["--paper-batch", "--learner-threads"])
def test_none_is_refused(option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["core_speed", "--parts", "training", option, "0"])
    with pytest.raises(SystemExit):
        core_speed.main()
    assert f"{option}: 1 or more needed" in capsys.readouterr().err


def test_ray_pygame_and_wandb_are_not_needed() -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("ray", "pygame", "wandb")))
from benchmarks import core_speed
words = {LEARNERS["nth_farthest"]!r}
core_speed.training_speed(words, "cpu", threads=2, limit=None, seconds=0.001)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
