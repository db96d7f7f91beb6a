from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from rmc_rl.errors import UserError
from rmc_rl.policy import Policy
from rmc_rl.viewer.panels import Caption, Panels
from rmc_rl.viewer.recorder import EPISODE_END_SECONDS, Recording, check_target, record
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import Step


def make(
    policy: Policy, path: Path, *, seed: int = 100, size: tuple[int, int] = (320, 240), **more: object
) -> Recording:
    session = Session(policy, seed=seed, max_steps=5)
    try:
        panels = Panels(Caption("game", "agent", session.action_names))
        return record(session, panels, path, size=size, speed=8.0, **more)  # type: ignore[arg-type]
    finally:
        session.close()


HELD = round(8 * EPISODE_END_SECONDS)


@pytest.mark.parametrize("name", ["out.gif", "out.mp4", "out.webm", "new/folder/out.GIF"])
def test_every_step_is_a_picture(policy: Policy, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    seen: list[Step] = []
    recording = make(policy, path, episodes=2, progress=seen.append)
    assert recording.path == path
    assert [step.seed for step in recording.endings] == [100, 101]
    assert [step.number for step in seen if step.ending] == [5, 5]
    assert recording.frames == 2 * (6 + HELD)
    if path.suffix in (".mp4", ".webm"):
        found = list(iio.imiter(path))
        assert (len(found), found[0].shape) == (recording.frames, (240, 320, 3))
        changes = [not np.array_equal(a, b) for a, b in itertools.pairwise(found)]
    else:
        with Image.open(path) as file:
            assert (file.n_frames, file.size) == (recording.frames, (320, 240))
            total = 0
            changes = []
            last = None
            for i in range(file.n_frames):
                file.seek(i)
                total += file.info["duration"]
                picture = np.asarray(file.convert("RGB"))
                if last is not None:
                    changes.append(not np.array_equal(picture, last))
                last = picture
            assert total == pytest.approx(1000 * recording.frames / 8, abs=20)
    assert changes[:5] == [True] * 5
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["gif", "mp4", "webm"])
def test_the_same_seed_is_the_same_file(policy: Policy, tmp_path: Path, name: str) -> None:
    first, second, other = (tmp_path / f"{i}.{name}" for i in range(3))
    make(policy, first)
    make(policy, second)
    make(policy, other, seed=101)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_odd_sizes_are_made_even(policy: Policy, tmp_path: Path) -> None:
    make(policy, tmp_path / "a.mp4", size=(321, 241))
    assert next(iter(iio.imiter(tmp_path / "a.mp4"))).shape == (242, 322, 3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError])
@pytest.mark.parametrize("name", ["out.gif", "out.mp4", "out.webm"])
def test_an_interruption_leaves_what_was_there(
    policy: Policy, tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"an older recording")

    def interrupt(step: Step) -> None:
        if step.number == 3:
            raise error

    with pytest.raises(error):
        make(policy, path, progress=interrupt)
    assert [item.name for item in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"an older recording"


@pytest.mark.parametrize("chosen", [None, "disk"])
def test_no_sound_card_is_looked_for(monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    """Environments that initialise all of pygame would, and it complains on standard error where there is none."""
    monkeypatch.delenv("SDL_AUDIODRIVER", raising=False)
    if chosen is not None:
        monkeypatch.setenv("SDL_AUDIODRIVER", chosen)
    code = "import os, rmc_rl.viewer; print(os.environ['SDL_AUDIODRIVER'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{chosen or 'dummy'}\n", "a person's own choice stays"


def test_a_failing_encoder_is_reported(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmc_rl.viewer.encoder.MP4", ("-c:v", "no_such_codec"))
    with pytest.raises(UserError, match=r"out\.mp4: writing failed: .*no_such_codec"):
        make(policy, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.avi", "out", ".gif"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"must end in \.gif, \.mp4 or \.webm"):
        check_target(tmp_path / name, 8.0)


def test_a_format_that_ffmpeg_cannot_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmc_rl.viewer.encoder.LIBRARIES", {".gif": "gif", ".mp4": "libx264", ".webm": "libnothing"})
    with pytest.raises(UserError, match=r"no encoder for \.webm \(libnothing\): record to \.gif or \.mp4"):
        check_target(tmp_path / "out.webm", 8.0)


def test_a_gif_has_a_fastest_speed(tmp_path: Path) -> None:
    check_target(tmp_path / "out.gif", 50.0)
    check_target(tmp_path / "out.mp4", 1000.0)
    with pytest.raises(UserError, match=r"speed=51: a GIF shows 50 steps per second at most; record to \.mp4"):
        check_target(tmp_path / "out.gif", 51.0)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*name another folder"):
        check_target(tmp_path / "file" / "out.gif", 8.0)
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        check_target(tmp_path / "folder.gif", 8.0)
    assert not list(tmp_path.glob(".*"))
