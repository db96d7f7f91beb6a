from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from rmc_rl.errors import UserError
from rmc_rl.policy import Policy
from rmc_rl.trainer import train
from rmc_rl.videos import GIF, GIF_SIZE, VIDEO
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.training_video import EPISODES, SIZE, SPEED, excerpt, make
from tests.leftovers import nothing_is_left


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """A run folder to make videos in."""
    subprocess.run(["cp", "-r", f"{run}/.", tmp_path], check=True)
    return tmp_path


def test_both_files_show_the_same_steps(folder: Path) -> None:
    make(folder, 3, gif=True, trust=False)
    pictures = 4 + round(1.5 * SPEED)
    video = list(iio.imiter(folder / VIDEO))
    assert (len(video), video[0].shape) == (pictures, (SIZE[1], SIZE[0], 3))
    with Image.open(folder / GIF) as gif:
        assert (gif.n_frames, gif.size) == (pictures, GIF_SIZE)
        assert gif.info["duration"] == 80
    assert not np.array_equal(video[0], video[3])


def test_the_same_checkpoint_is_the_same_video(folder: Path) -> None:
    written = []
    for _ in range(2):
        make(folder, 3, gif=True, trust=False)
        written.append([(folder / name).read_bytes() for name in (VIDEO, GIF)])
    assert written[0] == written[1]


def test_without_the_gif_there_is_none(folder: Path) -> None:
    make(folder, 2, gif=False, trust=False)
    assert (folder / VIDEO).exists()
    assert not (folder / GIF).exists()


def test_an_environment_without_a_picture_shows_what_the_agent_sees(tmp_path: Path) -> None:
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=4", "actor.num_envs=4", "total_steps=100"]
    words += ["env=gym", "env.id=tests.rmc_rl.counting:Counting-v0", "agent.torso=viewport", "trust=true"]
    run = train([*words, "actor.unroll_length=10", "log.display=none", f"runs_dir={tmp_path}"]).run
    with pytest.raises(UserError, match="trust=true"):
        make(run, 4, gif=False, trust=False)
    make(run, 4, gif=False, trust=True)
    board = [picture[200:300, 200:300].mean() for picture in iio.imiter(run / VIDEO)]
    assert [round(brightness - board[0]) for brightness in board[:3]] == [0, 1, 2]  # the observation is the time


def steps_of(policy: Policy, steps: int) -> list[int]:
    """How long the episodes of an excerpt are."""
    session = Session(policy, seed=100)
    try:
        found = list(excerpt(session, steps))
    finally:
        session.close()
    assert [step.number for step in found if step.number == 0] == [0] * sum(step.ending is not None for step in found)
    return [step.number for step in found if step.ending]


def test_an_excerpt_is_of_so_many_steps_at_most(policy: Policy) -> None:
    """The game ends after 40 steps at the latest."""
    assert steps_of(policy, 5) == [5]
    for steps in (60, 90, 1000):
        lengths = steps_of(policy, steps)
        assert sum(lengths) <= steps
        assert 2 * sum(lengths) >= steps or len(lengths) == EPISODES
        assert 2 * sum(lengths[:-1]) < steps


def test_a_missing_pygame_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UserError, match=r"it needs pygame, which cannot be imported .*: pip install pygame"):
        make(folder, 3, gif=False, trust=False)


def test_it_stops_before_the_next_step_and_leaves_no_unfinished_file(folder: Path) -> None:
    stop = threading.Event()
    stop.set()
    before = sorted(folder.rglob("*"))
    with nothing_is_left(), pytest.raises(KeyboardInterrupt):
        make(folder, 100000, gif=True, trust=False, stop=stop)
    assert sorted(folder.rglob("*")) == before


def begin(folder: Path, parent: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [str(folder), "--steps=100000", f"--parent={parent}", "--gif"]
    command = [sys.executable, "-m", "rmc_rl.viewer.training_video", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_without_its_parent_it_ends_and_removes_its_folder(folder: Path) -> None:
    with nothing_is_left(), begin(folder, parent=2**22 + 1) as process:
        process.communicate(timeout=300)
    assert process.returncode == 130
    assert not folder.exists()


def test_when_it_is_told_to_it_ends_with_its_encoders(folder: Path) -> None:
    with nothing_is_left(), begin(folder, parent=os.getpid()) as process:
        try:
            deadline = time.monotonic() + 300
            while not list(folder.glob(".video*")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "error: interrupted\n")
    assert not folder.exists()
