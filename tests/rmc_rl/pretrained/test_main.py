from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from rmc_rl.checkpoint import STATE, WEIGHTS
from rmc_rl.errors import UserError
from rmc_rl.evaluate import evaluate
from rmc_rl.policy import load
from rmc_rl.pretrained import pretrained_names
from rmc_rl.pretrained.__main__ import main, make
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=2000"]
    return train([*words, "env=repeat-first", "log.display=none", "group=mine", f"runs_dir={folder}"]).run


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrained", *words])
    main()


@pytest.fixture
def agent(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder made of the run."""
    call(monkeypatch, f"run={run}", f"folder={tmp_path / 'my-agent'}", "episodes=8")
    return tmp_path / "my-agent"


def test_what_is_passed_on_plays_as_the_run_did(run: Path, agent: Path) -> None:
    found = [evaluate(load(path), 8, greedy=False).returns for path in (run, agent)]
    np.testing.assert_array_equal(*found)
    said = json.loads((agent / "evaluation.json").read_text())
    assert said["mean_return_sampled"] == found[1].mean()
    assert (said["episodes"], said["seed"]) == (8, EVALUATION_SEEDS)
    card = (agent / "README.md").read_text()
    assert card.startswith("# my-agent\n")
    assert f"**{found[1].mean():.1f}** ± " in card
    assert "`rmc_envs:rmc/RepeatFirst-v0` (num_symbols 4, length 8)" in card


def test_it_is_smaller_and_says_nothing_of_the_machines_folders(run: Path, agent: Path) -> None:
    (whole,) = run.glob("checkpoints/step-*")
    assert (agent / WEIGHTS / STATE).stat().st_size < (whole / STATE).stat().st_size / 2
    for path in agent.rglob("*"):
        if path.is_file():
            assert str(run.parent).encode() not in path.read_bytes(), path
    assert load(agent).config.group is None


def test_it_is_looked_at_and_left_as_it_was(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in agent.rglob("*")}
    load(agent)
    with pytest.raises(UserError, match=r"my-agent holds the weights of an agent alone, and no run to go on with$"):
        train([f"resume={agent}"])
    with pytest.raises(UserError, match=r"^checkpoint=best: .*my-agent holds the weights of one agent alone"):
        load(agent, "best")
    assert {path: path.stat().st_mtime_ns for path in agent.rglob("*")} == before


def test_damaged_weights_are_named(agent: Path) -> None:
    data = bytearray((agent / WEIGHTS / STATE).read_bytes())
    data[-1] ^= 1
    (agent / WEIGHTS / STATE).write_bytes(data)
    with pytest.raises(UserError, match=r"its checksum does not match: get .*my-agent again from where it came$"):
        load(agent)


def test_the_list_has_every_agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": return ")[0] for line in lines] == pretrained_names()
    assert all(Path(line.rpartition("; ")[2]).is_file() for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["episodes=3"], "folder: none given; where the agent is to be written is needed"),
        (["folder=here"], "folder=here is there already: remove it, or name another"),
        (["folder=file/agent"], "folder=file/agent cannot be written: "),
        (["folder=new", "episodes=1"], "episodes=1 is too small: at least 2"),
    ],
)
def test_bad_input_is_one_message(
    words: list[str],
    message: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        call(monkeypatch, f"run={run}", *words)
    assert f"error: {message}" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"copy holds no versions\.json, which an agent to pass on brings along$"),
        ("[]", r"versions\.json does not hold a JSON object"),
        ("{", r"versions\.json does not hold a JSON object"),
    ],
)
def test_a_run_without_its_record_is_refused_before_anything_is_played(
    text: str | None, message: str, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "copy")
    record = tmp_path / "copy" / "versions.json"
    record.unlink()
    if text is not None:
        record.write_text(text)
    with pytest.raises(UserError, match=message):
        make(load(tmp_path / "copy"), tmp_path / "agent", episodes=10**9, licence="")
    assert not (tmp_path / "agent").exists()
