"""Several processes that learn as one, started as a user starts them."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from rmc_rl.checkpoint import checkpoints, latest_checkpoint, load_checkpoint
from rmc_rl.supervised.processes import Leading, Processes, follow
from rmc_rl.supervised.trainer import train
from tests.rmc_rl.supervised.language.texts import write_texts

SMALL = (
    *("core.mem_slots=2", "core.head_size=4", "core.num_heads=2", "learner.batch_size=12", "learner.threads=1"),
    *("evaluation.every_steps=4", "log.every_steps=3", "log.display=plain", "log.tensorboard=false"),
    *("wandb=disabled", "total_steps=10"),
    # Adam and bare RMSProp take steps of full size by gradients that are nothing but rounding.
    *("learner.optimizer=rmsprop", "learner.epsilon=1", "learner.learning_rate=0.1", "learner.warmup_updates=0"),
)
FARTHEST = ("task.num_vectors=3", "task.dimensions=2", "model.hidden_sizes=[8]", "evaluation.sequences=700")


def language(folder: Path) -> list[str]:
    """Words for a run on a small text; dropout is each process's own."""
    data = f"task.data={write_texts(folder / 'texts', 300)}"
    return [
        "task=language",
        data,
        "task.window=5",
        "model.embedding_size=8",
        "model.dropout=0",
        "evaluation.sequences=3",
    ]


def torchrun(count: int, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return subprocess.Popen(
        [*command, "-m", "rmc_rl.supervised", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def figures(run: Path) -> list[list[float]]:
    with (run / "metrics.csv").open() as file:
        names = ("steps", "sequences", "loss", "test_loss", "grad_norm")
        return [[float(row[name] or "nan") for name in names] for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_checkpoint(latest_checkpoint(run / "checkpoints"))[0]["model"]


def only(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["questions", "text"])
def test_two_processes_learn_what_one_learns(kind: str, tmp_path: Path) -> None:
    words = [*SMALL, *(FARTHEST if kind == "questions" else language(tmp_path))]
    alone = train([*words, f"runs_dir={tmp_path / 'alone'}"])
    said = finished(torchrun(2, *words, f"runs_dir={tmp_path / 'two'}"))
    run = only(tmp_path / "two")
    assert said.count("10 updates") == 1, "one of them speaks"
    np.testing.assert_allclose(figures(run), figures(alone.run), rtol=1e-3)
    for name, value in weights(alone.run).items():
        np.testing.assert_allclose(weights(run)[name], value, atol=1e-4, err_msg=name)
    states = [load_checkpoint(latest_checkpoint(path / "checkpoints"))[0] for path in (run, alone.run)]
    assert ("memory" in states[0]) == (kind == "text")
    for one, other in zip(states[0].get("memory", []), states[1].get("memory", []), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_ctrl_c_saves_and_one_process_goes_on(tmp_path: Path) -> None:
    words = [*SMALL, *language(tmp_path), f"runs_dir={tmp_path / 'runs'}"]
    process = torchrun(2, *words, "total_steps=1000000", "checkpoint.every_seconds=1000")
    end = time.monotonic() + 200
    while not list((tmp_path / "runs").glob("*/metrics.csv")) or len(figures(only(tmp_path / "runs"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it does not learn"
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the launcher and to all processes
    process.communicate(timeout=200)
    run = only(tmp_path / "runs")
    saved = checkpoints(run / "checkpoints")[-1]
    state, info = load_checkpoint(saved)
    assert info["steps"] == int(state["steps"]) >= 6
    assert [leaf.shape[0] for leaf in state["memory"]] == [12], "the memory of all streams"
    budget = info["steps"] + 3
    assert train([f"resume={run}", f"total_steps={budget}", "log.display=none"]).steps == budget


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_what_was_learnt_is_kept_where_a_process_is_lost(count: int, tmp_path: Path) -> None:
    words = [*SMALL, *language(tmp_path), f"runs_dir={tmp_path / 'runs'}"]
    process = torchrun(count, *words, "total_steps=1000000", "checkpoint.every_seconds=1000")
    end = time.monotonic() + 200
    while not list((tmp_path / "runs").glob("*/metrics.csv")) or len(figures(only(tmp_path / "runs"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it does not learn"
        time.sleep(0.2)
    (last,) = (
        child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == str(count - 1)
    )
    last.kill()
    said, _ = process.communicate(timeout=60)
    assert said.count("error: another process of the run has gone: resume=") == 1, said
    run = only(tmp_path / "runs")
    state, info = load_checkpoint(latest_checkpoint(run / "checkpoints"))
    assert info["steps"] >= figures(run)[-1][0] >= 6, "the weights of the last update"
    assert "memory" not in state, "some of it is lost"
    budget = info["steps"] + 3
    assert train([f"resume={run}", f"total_steps={budget}", "log.display=none"]).steps == budget


@pytest.mark.slow
def test_bad_input_is_said_once_and_all_leave(tmp_path: Path) -> None:
    for word, message in (
        ("task.num_vectors=1", "error: the task cannot be made: num_vectors: 1 given"),
        (
            "learner.batch_size=13",
            "error: the model cannot be trained: learner.batch_size=13 cannot be shared by 2 proc",
        ),
    ):
        process = torchrun(2, *SMALL, *FARTHEST, f"runs_dir={tmp_path / 'runs'}", word)
        said, _ = process.communicate(timeout=200)
        assert process.returncode != 0
        assert said.count(message) == 1, said
        assert not list((tmp_path / "runs").glob("*")), "no folder is left"


class Group(Processes):
    """A process that hears what it was given to hear."""

    def __init__(self, *words: object) -> None:
        super().__init__(rank=1, count=2)
        self.heard, self.said = list(words), list[object]()

    def share(self, what: object = None) -> object:
        self.said.append(what)
        return self.heard.pop(0) if self.heard else what


class Learner:
    """Counts."""

    def __init__(self) -> None:
        self.moves: list[str] = []

    def update(self) -> dict[str, int]:
        self.moves.append("update")
        return {"steps": len(self.moves)}

    def get_state(self) -> dict[str, int]:
        self.moves.append("state")
        return {}


def test_who_follows_makes_every_move_of_who_leads() -> None:
    group, leader = Group(), Learner()
    leading = Leading(leader, group)
    assert leading.update() == {"steps": 1}
    leading.get_state()
    leading.update()
    leading.end()
    follower = Learner()
    follow(follower, Group(*group.said))
    assert follower.moves == leader.moves == ["update", "state", "update"]


def test_shares_are_all_of_it() -> None:
    whole = torch.arange(14).reshape(2, 7)
    shares = [Processes(rank, 3).own(whole, 1) for rank in range(3)]
    assert torch.equal(torch.cat(shares, dim=1), whole)
    assert Processes(2, 3).own(whole[:, :2], 1).shape == (2, 0), "more processes than entries"
    assert Processes().own(whole, 1) is whole
