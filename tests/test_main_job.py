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
from pathlib import Path
from threading import Timer

import numpy as np
import psutil
import pytest

from rmc_envs.repeat_first import memoryless_return
from rmc_rl.checkpoint import checkpoints, load_checkpoint

pytestmark = [pytest.mark.slow]
ENGINES = ["inline", pytest.param("ray", marks=pytest.mark.ray)]
TOO_LONG = 900  # seconds after which a run is taken to hang
ENVIRONMENT = {**os.environ, "WANDB_MODE": "disabled"}


def python(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=TOO_LONG
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


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

    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["steps"]) for row in rows]
    assert steps == sorted(set(steps))
    for row in rows:
        assert all(math.isfinite(float(row[name])) for name in ("loss", "policy_loss", "value_loss", "entropy"))
        assert 0 < float(row["entropy"]) <= math.log(5) + 1e-6

    result = json.loads(python(tmp_path, "rmc_rl.evaluate", "json=true", "episodes=20").splitlines()[-1])
    assert result["episodes"] == 20
    assert {"mean_return_sampled", "mean_return_greedy", "ci95_return_sampled", "ci95_return_greedy"} <= result.keys()
    python(tmp_path, "rmc_rl.watch", "run=latest", "record=played.gif", "max_steps=20")
    assert (tmp_path / "played.gif").stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["played.gif", "runs"], "nothing outside the run folder"


@pytest.mark.ray
def test_a_killed_learner_costs_what_is_said_and_no_more(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rmc_rl.train", "total_steps=150000", "log.every_steps=2000"]
    with subprocess.Popen(
        [*command, "checkpoint.every_seconds=3"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        watch = Timer(TOO_LONG, process.kill)
        watch.start()
        said = ""
        killed = False
        for line in process.stdout:
            said += line
            if not killed and list(tmp_path.glob("runs/*/checkpoints/step-*")):
                family = psutil.Process(process.pid).children(recursive=True)
                (victim,) = [child for child in family if child.name().startswith("ray::Learner")]
                victim.kill()
                killed = True
        watch.cancel()
    assert process.returncode == 0, said
    assert killed
    assert "the learner died and goes on from the checkpoint after" in said
    assert "finished" in said
    with (only_run(tmp_path) / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["steps"]) for row in rows]
    assert steps == sorted(set(steps)), "lines of lost updates are trimmed"
    assert steps[-1] >= 150000
    assert rows[-1]["restarts"] == "1"


@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_saves_and_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    """A terminal sends Ctrl-C to every process of the job, Ray's included."""
    command = [sys.executable, "-m", "rmc_rl.train", "total_steps=100000000", "log.every_steps=2000"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        watch = Timer(TOO_LONG, process.kill)
        watch.start()
        for line in process.stdout:
            if "steps/s" in line:
                break
        family = [process.pid] + [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        os.killpg(process.pid, number)
        rest = process.stdout.read()
        process.wait(timeout=60)
        watch.cancel()
    assert process.returncode == 0
    assert "go on with: " in rest
    assert "-m rmc_rl.train resume=" in rest
    state, info = load_checkpoint(checkpoints(only_run(tmp_path) / "checkpoints")[-1])
    assert info["steps"] == int(state["learner"]["steps"]) > 0
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in family if psutil.pid_exists(pid)] == []
