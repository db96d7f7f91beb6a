from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from rmc_rl.errors import UserError
from rmc_rl.viewer.encoder import LIBRARIES, check_encoder, encoder

COLOURS = np.array([(13, 15, 24), (240, 166, 30), (86, 180, 233), (250, 250, 250)], np.uint8)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """A bar that moves over a ground of other colours."""
    ground = COLOURS[[0, 2, 3, 0]].repeat(24, 0)[:, None].repeat(64, 1)
    moved = []
    for i in range(6):
        picture = ground.copy()
        picture[:, 8 * i : 8 * i + 8] = COLOURS[1]
        moved.append(picture)
    return moved


def write(path: Path, pictures: Iterable[np.ndarray], speed: float = 8.0) -> None:
    with encoder(path, (64, 96), speed) as send:
        for picture in pictures:
            send(picture.tobytes())


def test_a_gif_holds_the_pictures(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write(tmp_path / "a.gif", pictures)
    with Image.open(tmp_path / "a.gif") as file:
        assert file.n_frames == len(pictures)
        assert file.info["loop"] == 0
        duration = 0
        for i, picture in enumerate(pictures):
            file.seek(i)
            duration += file.info["duration"]
            error = np.abs(np.asarray(file.convert("RGB")).astype(int) - picture)
            assert error.max() <= 3
        assert duration == pytest.approx(1000 * len(pictures) / 8, abs=10)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.webm", "vp9")])
def test_a_video_holds_the_pictures(tmp_path: Path, pictures: list[np.ndarray], name: str, codec: str) -> None:
    write(tmp_path / name, pictures, speed=12.5)
    found = list(iio.imiter(tmp_path / name))
    assert len(found) == len(pictures)
    for frame, picture in zip(found, pictures, strict=True):
        assert frame.shape == picture.shape
        assert np.abs(frame.astype(int) - picture).mean() < 8
    properties = iio.immeta(tmp_path / name)
    assert properties["codec"] == codec
    assert properties["pix_fmt"].startswith("yuv420p(tv, bt709")  # else players guess the colours
    assert properties["fps"] == 12.5


@pytest.mark.parametrize("suffix", LIBRARIES)
def test_the_same_pictures_are_the_same_bytes_on_any_number_of_cores(
    tmp_path: Path, pictures: list[np.ndarray], suffix: str
) -> None:
    random = np.random.default_rng(0)  # noise, so that there is something to decide for the encoder
    frames = [picture ^ random.integers(0, 32, picture.shape, np.uint8) for picture in pictures * 5]
    first, second = tmp_path / f"first{suffix}", tmp_path / "elsewhere" / f"second{suffix}"
    second.parent.mkdir()
    write(first, frames)
    time.sleep(1.1)  # the time is not written into it either
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        write(second, frames)
    finally:
        os.sched_setaffinity(0, cores)
    assert first.read_bytes() == second.read_bytes()
    write(second, [*frames[:-1], frames[0]])
    assert first.read_bytes() != second.read_bytes()


def program(path: Path, *encoders: str) -> Path:
    """Stands in for an FFmpeg that has these encoders only."""
    lines = "".join(f"echo ' V....D {name}  a description'\n" for name in encoders)
    path.write_text(f"#!/bin/sh\n{lines}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (("libx264", "gif"), r"has no encoder for \.webm \(libvpx-vp9\): record to \.gif or \.mp4$"),
        (("gif",), r"has no encoder for \.webm \(libvpx-vp9\): record to \.gif$"),
        ((), r"has no encoder for \.webm \(libvpx-vp9\): install imageio-ffmpeg"),
    ],
)
def test_a_missing_encoder_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoders: tuple[str, ...], message: str
) -> None:
    path = program(tmp_path / "ffmpeg", *encoders)
    monkeypatch.setattr("rmc_rl.viewer.encoder.ffmpeg", lambda: str(path))
    with pytest.raises(UserError, match=message):
        check_encoder(".webm")


def test_an_encoder_that_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "ffmpeg", "libvpx-vp9")
    monkeypatch.setattr("rmc_rl.viewer.encoder.ffmpeg", lambda: str(path))
    check_encoder(".webm")


def test_a_program_that_does_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmc_rl.viewer.encoder.ffmpeg", lambda: str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"nothing\) does not run .*IMAGEIO_FFMPEG_EXE"):
        check_encoder(".gif")


@pytest.mark.parametrize("found", ["None", "RuntimeError"])
def test_no_ffmpeg_is_said(tmp_path: Path, found: str) -> None:
    """Neither the package nor a program: asked in a process of its own, because the answer is kept."""
    stand_in = "None" if found == "None" else "types.SimpleNamespace(get_ffmpeg_exe=missing)"
    script = (
        "import sys, types\n"
        "def missing(): raise RuntimeError('No ffmpeg exe could be found')\n"
        f"sys.modules['imageio_ffmpeg'] = {stand_in}\n"
        "from rmc_rl.errors import UserError\n"
        "from rmc_rl.viewer.encoder import check_encoder\n"
        "try:\n"
        "    check_encoder('.gif')\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert asked.stdout.startswith("recording needs FFmpeg, which is not found: pip install imageio-ffmpeg ("), asked


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "a.webm"])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, pictures: list[np.ndarray], name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=name):
        write(tmp_path / name, pictures * 50)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "[mp4 @ 0x12ab] Cannot submit: No space left on device\\nCannot close the file\\n",
            "Cannot submit: No space left.*",
        ),
        ("", "FFmpeg ended with status 228"),
    ],
)
def test_why_ffmpeg_failed_is_told_in_one_line(
    tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, said: str, message: str
) -> None:
    failing = tmp_path / "ffmpeg"
    failing.write_text(f"#!/bin/sh\nprintf '{said}' >&2\nexit 228\n")
    failing.chmod(0o755)
    monkeypatch.setattr("rmc_rl.viewer.encoder.ffmpeg", lambda: str(failing))
    with pytest.raises(OSError, match=rf"\A{message}\Z"):
        write(tmp_path / "a.mp4", pictures * 50)


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "a.webm"])
def test_an_error_while_drawing_is_passed_on(tmp_path: Path, pictures: list[np.ndarray], name: str) -> None:
    def pictures_that_fail() -> Iterator[np.ndarray]:
        yield from pictures
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path / name, pictures_that_fail())
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
