from __future__ import annotations

import csv
import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rmc_rl.checkpoint import flatten, latest_checkpoint, load_checkpoint, save_checkpoint
from rmc_rl.engines import Engine, make_engine
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.impala.learner import Learner
from rmc_rl.metrics import TIMING
from rmc_rl.run_folder import RunFolder
from rmc_rl.trainer import TrainingResult, train
from rmc_rl.videos import GIF_SIZE
from tests.leftovers import nothing_is_left

SMALL = [
    *("engine=inline", "engine.learner_threads=1", "env=repeat-first", "core.head_size=4", "actor.num_envs=8"),
    *("actor.unroll_length=10", "total_steps=2000", "log.every_steps=500", "log.display=none"),
]


def run(folder: Path, *words: str) -> TrainingResult:
    return train([*SMALL, f"runs_dir={folder}", *words])


def rows(result: TrainingResult) -> list[dict[str, str]]:
    with (result.run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_leaves_a_whole_run_folder(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.finished
    assert 2000 <= result.steps < 2080
    assert result.run.parent == tmp_path
    assert {"config.yaml", "metrics.csv", "checkpoints", "tensorboard", "versions.json"} <= set(os.listdir(result.run))
    table = rows(result)
    assert [int(row["steps"]) // 500 for row in table] == [1, 2, 3, 4]
    assert all(np.isfinite(float(row["loss"])) for row in table)
    state, info = load_checkpoint(latest_checkpoint(result.run / "checkpoints"))
    assert info["steps"] == result.steps == int(state["learner"]["steps"])
    assert info["episodes"]["count"] == int(table[-1]["episodes"])
    assert (result.run / "checkpoints" / "best").is_dir()


def test_two_runs_of_a_seed_are_bit_identical(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert first.run != second.run
    states = [flatten(load_checkpoint(latest_checkpoint(r.run / "checkpoints"))[0]) for r in (first, second)]
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)
    assert untimed(first) == untimed(second)


@pytest.mark.slow
def test_videos_come_in_time_and_change_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmc_rl.videos.REST_SECONDS", 0.0)
    monkeypatch.setattr("rmc_rl.videos.LAST_VIDEO_SECONDS", 600.0)
    words = ["log.video_every_steps=800", "log.video_steps=8"]
    with nothing_is_left():
        without, with_videos = run(tmp_path), run(tmp_path, *words)
    assert not (without.run / "videos").exists()
    videos = sorted(path.name for path in (with_videos.run / "videos").iterdir())
    assert [int(name[5:17]) // 800 for name in videos] == [1, 2]
    shown = EventAccumulator(str(with_videos.run / "tensorboard")).Reload().Images("video")
    assert sorted(image.step for image in shown) == [int(name[5:17]) for name in videos]
    for image in shown:
        with Image.open(io.BytesIO(image.encoded_image_string)) as animation:
            assert (animation.format, animation.size) == ("GIF", GIF_SIZE)
            assert getattr(animation, "n_frames", 1) > 8
    states = [flatten(load_checkpoint(latest_checkpoint(r.run / "checkpoints"))[0]) for r in (without, with_videos)]
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)
    assert untimed(without) == untimed(with_videos)
    resumed = train([f"resume={with_videos.run}", "total_steps=2500"])
    assert sorted(path.name for path in (resumed.run / "videos").iterdir())[:2] == videos
    assert len(os.listdir(resumed.run / "videos")) == 3


CUTS = np.random.default_rng(7).choice(np.arange(1, 50), 5, replace=False).tolist()


def untimed(result: TrainingResult) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in rows(result)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("env", ["repeat-first", "minipacman-viewport"])
def test_a_run_cut_at_any_update_and_resumed_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, env: str
) -> None:
    """Weights, optimiser, games, memories, random streams, counters and metrics."""
    words = [f"env={env}", "total_steps=4000", "log.every_steps=700"]
    whole = run(tmp_path / "whole", *words)
    original = Learner.update

    def update(self: Learner, rollouts: object) -> object:
        figures = original(self, rollouts)  # type: ignore[arg-type]
        if self.updates == cut:
            os.kill(os.getpid(), signal.SIGINT)
        return figures

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", update)
        stopped = run(tmp_path / "cut", *words)
    assert not stopped.finished
    resumed = train([f"resume={stopped.run}"])
    assert resumed.finished
    states = [load_checkpoint(latest_checkpoint(r.run / "checkpoints")) for r in (whole, resumed)]
    arrays = [flatten(state) for state, _ in states]
    assert arrays[0].keys() == arrays[1].keys()
    for name, value in arrays[0].items():
        np.testing.assert_array_equal(value, arrays[1][name], err_msg=name)
    assert untimed(resumed) == untimed(whole)
    assert states[0][1]["episodes"] == states[1][1]["episodes"]


def test_resume_says_what_changed_and_keeps_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path, "learner.discount=0.5")
    train([f"resume={first.run.name}", f"runs_dir={tmp_path}", "total_steps=2500", "learner.entropy_cost=0.02"])
    said = capsys.readouterr().err
    assert f"resuming {first.run} after {first.steps:,} steps" in said
    assert "changed total_steps: 2000 -> 2500" in said
    assert "changed learner.entropy_cost: 0.01 -> 0.02" in said
    assert "discount" not in said
    stored = (first.run / "config.yaml").read_text()
    assert "discount: 0.5" in stored
    assert "total_steps: 2500" in stored


def test_a_resume_that_is_stopped_while_it_starts_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path)
    stored = (first.run / "config.yaml").read_text()

    def stopped(*args: Any, **kwargs: Any) -> Engine:
        signal.raise_signal(signal.SIGINT)
        return make_engine(*args, **kwargs)

    monkeypatch.setattr("rmc_rl.trainer.make_engine", stopped)
    second = train([f"resume={first.run}", "total_steps=9000"])
    assert not second.finished
    assert second.steps == first.steps
    assert (first.run / "config.yaml").read_text() == stored


def test_metrics_behind_the_checkpoint_are_trimmed(tmp_path: Path) -> None:
    first = run(tmp_path)
    with (first.run / "metrics.csv").open("a") as file:
        file.write("999999,1,1,0.0\n77")  # as a killed run may leave it
    resumed = train([f"resume={first.run}", "total_steps=3000"])
    steps = [int(row["steps"]) for row in rows(resumed)]
    assert steps == sorted(steps)
    assert 999999 not in steps
    assert steps[-1] == resumed.steps


def test_a_stopped_run_whose_budget_is_cut_ends_with_its_last_interval(tmp_path: Path) -> None:
    updates = []
    original = Learner.update

    def update(self: Learner, rollouts: object) -> object:
        updates.append(1)
        if len(updates) == 5:  # before the first interval is whole
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, rollouts)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "update", update)
        first = run(tmp_path)
    assert rows(first) == []
    second = train([f"resume={first.run}", "total_steps=300"])
    assert second.finished
    (row,) = rows(second)
    assert int(row["steps"]) == first.steps == second.steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_save_and_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    updates = []
    original = Learner.update

    def update(self: Learner, rollouts: object) -> object:
        updates.append(1)
        if len(updates) == 5:
            os.kill(os.getpid(), number)
        return original(self, rollouts)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "update", update)
    inherited = signal.signal(number, signal.default_int_handler)  # whoever started the tests may ignore SIGHUP
    before = signal.getsignal(number)
    try:
        result = run(tmp_path, "total_steps=1000000")
        restored = signal.getsignal(number)
    finally:
        signal.signal(number, inherited)
    assert not result.finished
    assert len(updates) == 5
    info = load_checkpoint(latest_checkpoint(result.run / "checkpoints"))[1]
    assert (info["updates"], info["interval"]["updates"]) == (5, 5)
    assert restored is before
    RunFolder(result.run).close()  # the lock is free


def test_under_nohup_a_closed_terminal_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Learner.update

    def update(self: Learner, rollouts: object) -> object:
        os.kill(os.getpid(), signal.SIGHUP)
        return original(self, rollouts)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "update", update)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(tmp_path, "total_steps=400").finished
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(self: Learner, rollouts: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Learner, "update", update)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    RunFolder(next(tmp_path.iterdir())).close()


def test_works_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[TrainingResult] = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path, "total_steps=200")))
    thread.start()
    thread.join()
    assert results[0].finished


@pytest.mark.parametrize("engine", ["inline", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])])
def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path: Path, engine: str) -> None:
    first = run(tmp_path)
    good = latest_checkpoint(first.run / "checkpoints")
    # Rewards this large overflow float32 in the value loss.
    words = ["total_steps=9000", "learner.reward_scale=1e30", f"engine={engine}"]
    with nothing_is_left(), pytest.raises(NonFiniteLossError, match=r"update \d+ is not finite"):
        train([f"resume={first.run}", *words])
    assert latest_checkpoint(first.run / "checkpoints") == good
    load_checkpoint(good)


def test_an_environment_that_raises_loses_nothing(tmp_path: Path) -> None:
    from rmc_rl.config import EnvConfig, make_config

    config = make_config(*SMALL, f"runs_dir={tmp_path}", "trust=true", "total_steps=10000", "agent.torso=viewport")
    config.env = EnvConfig("raising", "tests.rmc_rl.engines.raising:Raising-v0", {"after": 35})
    with pytest.raises(UserError, match="out of marbles"):
        train(config)
    (folder,) = tmp_path.iterdir()
    assert load_checkpoint(latest_checkpoint(folder / "checkpoints"))[1]["updates"] == 3


@pytest.mark.parametrize("mended", [True, False])
def test_a_full_disk_costs_one_warning_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mended: bool
) -> None:
    attempts = []

    def full(*args: object) -> Path:
        attempts.append(args)
        if mended and len(attempts) > 4:
            return save_checkpoint(*args)  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rmc_rl.loop.save_checkpoint", full)
    monkeypatch.setattr("rmc_rl.loop.FIRST_CHECKPOINT_SECONDS", 0.0)
    if mended:
        result = run(tmp_path, "checkpoint.every_seconds=0.01")
        assert result.finished
        assert load_checkpoint(latest_checkpoint(result.run / "checkpoints"))[1]["steps"] == result.steps
    else:
        with pytest.raises(UserError, match=r"could not be saved .*No space left.*there is no checkpoint; make room"):
            run(tmp_path, "checkpoint.every_seconds=0.01")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_reader_who_leaves_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("rmc_rl.display.PlainDisplay.row", broken)
    monkeypatch.setattr("sys.stdout", (tmp_path / "out").open("w"))
    result = run(tmp_path / "runs", "log.display=plain")
    assert result.finished
    load_checkpoint(latest_checkpoint(result.run / "checkpoints"))


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path)
    folder = RunFolder(first.run)
    try:
        with pytest.raises(UserError, match="in use by another process"):
            train([f"resume={first.run}", "total_steps=9000"])
    finally:
        folder.close()


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*args: object, **kwargs: object) -> None:
        raise UserError("nobody answers")

    earlier = run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("rmc_rl.trainer.make_engine", nobody)
        with pytest.raises(UserError, match="nobody answers"):
            run(tmp_path)
        with pytest.raises(UserError, match="nobody answers"):
            train(["resume=latest", f"runs_dir={tmp_path}", "total_steps=1e6"])
    assert list(tmp_path.iterdir()) == [earlier.run], "what was there before is kept"


def test_bad_input_leaves_no_folder(tmp_path: Path) -> None:
    for word in ("core.mem_slots=0", "agent.torso=nonsense", "env.id=Nonsense-v0", "env.kwargs.length=0"):
        with pytest.raises(UserError):
            run(tmp_path, *([word, "core=rmc"] if "core" in word else [word]))
    assert list(tmp_path.iterdir()) == []


def test_resume_of_another_agent_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path)
    with pytest.raises(UserError, match="do not fit this agent"):
        train([f"resume={first.run}", "total_steps=9000", "core=lstm"])
    assert "name: rmc" in (first.run / "config.yaml").read_text(), "a refused change is not written down"
