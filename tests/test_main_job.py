"""The main job through the command line, in both engines, as a person would run it."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import psutil
import pytest

from rmc_envs.repeat_first import memoryless_return
from rmc_rl.checkpoint import STATE, checkpoints, load_checkpoint
from tests.leftovers import Watch, nothing_is_left

pytestmark = [pytest.mark.slow]
ENGINES = ["inline", pytest.param("ray", marks=pytest.mark.ray)]
TOO_LONG = 900  # seconds after which a run is taken to hang
# It says and saves something every second, and never ends by itself.
ENDLESS = ["env=repeat-first", "total_steps=1000000000", "log.every_steps=5000", "checkpoint.every_seconds=1"]


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with nothing_is_left() as watch:
        yield watch


def finished(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TOO_LONG)


def python(folder: Path, *words: str) -> str:
    done = finished(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def rows(folder: Path) -> list[dict[str, str]]:
    with (only_run(folder) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Training:
    """A run in progress, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.said = ""

    def goes_on_until(self, happened: Callable[[], Any]) -> None:
        """Read on, line by line, until something has happened."""
        assert self.process.stdout is not None
        while not happened():
            line = self.process.stdout.readline()
            assert line, f"the run ended:\n{self.said}"
            self.said += line

    def steps_saved(self) -> int:
        """Those of the last checkpoint; 0 where there is none."""
        saved = sorted(self.folder.glob("runs/*/checkpoints/step-*"))
        return int(saved[-1].name.removeprefix("step-")) if saved else 0

    def send(self, number: signal.Signals) -> None:
        """As a terminal does with Ctrl-C: to every process of the group."""
        os.killpg(self.process.pid, number)

    def ends_within(self, seconds: float) -> int:
        """The exit code; all that was said is known then."""
        assert self.process.stdout is not None
        late = Timer(seconds, self.process.kill)
        late.start()
        self.said += self.process.stdout.read()
        code = self.process.wait()
        late.cancel()
        return code


@contextmanager
def training(folder: Path, *words: str) -> Iterator[Training]:
    """Started as a terminal does, in a process group of its own; killed where it hangs or the test fails."""
    command = [sys.executable, "-m", "rmc_rl.train", *words]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        hung = Timer(TOO_LONG, process.kill)
        hung.start()
        try:
            yield Training(process, folder)
        finally:
            hung.cancel()
            process.kill()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_memory_task_is_learnt_beyond_what_needs_no_memory(tmp_path: Path, engine: str) -> None:
    """Neither last action nor last reward may carry the symbol: only the core's memory can."""
    no_crutch = ["agent.use_last_action=false", "agent.use_last_reward=false"]
    python(tmp_path, "rmc_rl.train", "env=repeat-first", f"engine={engine}", "total_steps=250000", *no_crutch)
    result = json.loads(python(tmp_path, "rmc_rl.evaluate", "json=true", "episodes=400").splitlines()[-1])
    limit = memoryless_return(num_symbols=4, length=8)
    print(f"{engine}: {result['mean_return_sampled']:.3f}, without memory at most {limit:.3f}")
    assert result["mean_return_sampled"] - result["ci95_return_sampled"] > limit + 0.2


@pytest.mark.parametrize("engine", ENGINES)
def test_minipacman_trains_resumes_and_is_evaluated(tmp_path: Path, engine: str) -> None:
    words = ["env=minipacman-viewport", f"engine={engine}", "checkpoint.every_seconds=1"]
    out = python(tmp_path, "rmc_rl.train", *words, "total_steps=60000")
    assert "60," in out
    run = only_run(tmp_path)
    first, info = load_checkpoint(checkpoints(run / "checkpoints")[-1])
    assert info["steps"] >= 60000

    assert "resuming" in python(tmp_path, "rmc_rl.train", "resume=latest", "total_steps=100000")
    second, info = load_checkpoint(checkpoints(run / "checkpoints")[-1])
    assert info["steps"] >= 100000
    for name, weights in first["learner"]["agent"].items():
        assert np.isfinite(second["learner"]["agent"][name]).all()
        assert not np.array_equal(weights, second["learner"]["agent"][name]), f"{name} did not change"

    table = rows(tmp_path)
    steps = [int(row["steps"]) for row in table]
    assert steps == sorted(set(steps))
    for row in table:
        assert all(math.isfinite(float(row[name])) for name in ("loss", "policy_loss", "value_loss", "entropy"))
        assert 0 < float(row["entropy"]) <= math.log(5) + 1e-6

    result = json.loads(python(tmp_path, "rmc_rl.evaluate", "json=true", "episodes=20").splitlines()[-1])
    assert result["episodes"] == 20
    assert {"mean_return_sampled", "mean_return_greedy", "ci95_return_sampled", "ci95_return_greedy"} <= result.keys()
    python(tmp_path, "rmc_rl.watch", "run=latest", "record=played.gif", "max_steps=20")
    assert (tmp_path / "played.gif").stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["played.gif", "runs"], "nothing outside the run folder"


@pytest.mark.ray
def test_a_full_disk_a_killed_actor_and_a_killed_learner_cost_what_is_said_and_no_more(
    tmp_path: Path, watch: Watch
) -> None:
    with training(tmp_path, *ENDLESS, "actor.num_actors=1") as run:
        run.goes_on_until(run.steps_saved)

        # A limit on the size of files stands for the full disk: both are refused by the operating system.
        driver = psutil.Process(run.process.pid)
        unlimited = driver.rlimit(psutil.RLIMIT_FSIZE)
        size = (checkpoints(only_run(tmp_path) / "checkpoints")[0] / STATE).stat().st_size
        driver.rlimit(psutil.RLIMIT_FSIZE, (size // 2, unlimited[1]))
        run.goes_on_until(lambda: "no checkpoint was written" in run.said)
        saved, attempts_end = run.steps_saved(), time.monotonic() + 3
        run.goes_on_until(lambda: time.monotonic() > attempts_end)
        assert run.steps_saved() == saved
        load_checkpoint(checkpoints(only_run(tmp_path) / "checkpoints")[-1])
        driver.rlimit(psutil.RLIMIT_FSIZE, unlimited)
        run.goes_on_until(lambda: run.steps_saved() > saved)
        assert run.said.count("no checkpoint was written") == 1

        watch.process("ray::ActorProc").kill()
        run.goes_on_until(lambda: "actor 0 died and was replaced\n" in run.said)
        saved = run.steps_saved()
        run.goes_on_until(lambda: run.steps_saved() > saved)

        watch.process("ray::Learner").kill()
        run.goes_on_until(lambda: "the learner died and goes on from the checkpoint after" in run.said)
        saved = run.steps_saved()
        run.goes_on_until(lambda: run.steps_saved() > saved)
        run.send(signal.SIGTERM)
        assert run.ends_within(60) == 0
    table = rows(tmp_path)
    steps = [int(row["steps"]) for row in table]
    assert steps == sorted(set(steps)), "lines of lost updates are trimmed"
    assert steps[-1] > saved
    assert table[-1]["restarts"] == "2"


@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_saves_and_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    with training(tmp_path, *ENDLESS, "checkpoint.every_seconds=1000") as run:
        run.goes_on_until(lambda: "steps/s" in run.said)
        run.send(number)
        assert run.ends_within(60) == 0
    assert "go on with: " in run.said
    assert "-m rmc_rl.train resume=" in run.said
    state, info = load_checkpoint(checkpoints(only_run(tmp_path) / "checkpoints")[-1])
    assert info["steps"] == int(state["learner"]["steps"]) > 0


@pytest.mark.ray
def test_a_second_ctrl_c_does_not_wait_for_a_learner_that_hangs(tmp_path: Path, watch: Watch) -> None:
    with training(tmp_path, *ENDLESS) as run:
        run.goes_on_until(run.steps_saved)
        watch.process("ray::Learner").suspend()
        time.sleep(2)  # an actor that plays on gives it another update, if it had none
        saved = run.steps_saved()
        run.send(signal.SIGINT)
        time.sleep(2)
        assert run.process.poll() is None, "one Ctrl-C waits for the update under way"
        run.send(signal.SIGINT)
        assert run.ends_within(120) == 130
    assert run.said.endswith("error: interrupted\n")
    newest = checkpoints(only_run(tmp_path) / "checkpoints")[-1]
    assert load_checkpoint(newest)[1]["steps"] >= saved > 0


@pytest.mark.ray
def test_a_second_run_in_the_same_folder_and_an_altered_checkpoint_are_refused(tmp_path: Path) -> None:
    with training(tmp_path, *ENDLESS) as run:
        run.goes_on_until(run.steps_saved)
        second = finished(tmp_path, "rmc_rl.train", "resume=latest")
        assert second.returncode == 1
        assert (
            second.stderr
            == f"error: the run folder {only_run(tmp_path).relative_to(tmp_path)} is in use by another process\n"
        )
        saved = run.steps_saved()
        run.goes_on_until(lambda: run.steps_saved() > saved)
        run.send(signal.SIGINT)
        assert run.ends_within(60) == 0
    newest = checkpoints(only_run(tmp_path) / "checkpoints")[-1]
    whole = (newest / STATE).read_bytes()
    (newest / STATE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    resumed = finished(tmp_path, "rmc_rl.train", "resume=latest")
    assert resumed.returncode == 1
    assert f"{newest.name}/{STATE} was truncated or altered: its checksum does not match: remove" in resumed.stderr
