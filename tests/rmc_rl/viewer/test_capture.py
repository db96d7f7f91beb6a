from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import pygame
import pytest

from rmc_rl.errors import UserError
from rmc_rl.viewer.capture import PICTURES_PER_SECOND, Capture


def frames(path: Path) -> tuple[list[bytes], tuple[int, int], float]:
    """The pictures of a video as RGB bytes, their size, and how many there are a second."""
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    return list(reader), meta["size"], meta["fps"]


def surface(size: tuple[int, int], colour: tuple[int, int, int]) -> pygame.Surface:
    made = pygame.Surface(size)
    made.fill(colour)
    return made


def test_pictures_last_as_long_as_they_were_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    capture = Capture(path, surface((65, 49), (250, 0, 0)))
    for _ in range(60):
        capture.tick(1 / 60)
    capture.show(surface((65, 49), (0, 0, 250)))
    capture.tick(0.5)
    assert not path.exists()
    capture.finish()
    assert list(tmp_path.iterdir()) == [path]
    pictures, size, speed = frames(path)
    assert (size, speed) == ((64, 48), PICTURES_PER_SECOND)
    is_red = [picture[0] > 200 for picture in pictures]
    assert len(pictures) == pytest.approx(1.5 * PICTURES_PER_SECOND, abs=2)
    assert sum(is_red) == pytest.approx(PICTURES_PER_SECOND, abs=2)
    assert is_red == sorted(is_red, reverse=True)


def test_a_video_without_time_has_a_picture(tmp_path: Path) -> None:
    Capture(tmp_path / "a.mp4", surface((64, 48), (250, 0, 0))).finish()
    assert len(frames(tmp_path / "a.mp4")[0]) >= 1


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        Capture(tmp_path / "no folder" / "a.mp4", surface((64, 48), (0, 0, 0)))
    monkeypatch.setattr("rmc_rl.viewer.encoder.MP4", ("-c:v", "no_such_encoder"))
    capture = Capture(tmp_path / "a.mp4", surface((640, 480), (0, 0, 0)))
    with pytest.raises(OSError, match="no_such_encoder"):
        capture.tick(1000.0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_encoder_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(suffix: str) -> None:
        raise UserError(f"no encoder for {suffix}")

    monkeypatch.setattr("rmc_rl.viewer.capture.check_encoder", refuse)
    with pytest.raises(UserError, match=r"no encoder for \.mp4"):
        Capture(tmp_path / "a.mp4", surface((64, 48), (0, 0, 0)))
    assert list(tmp_path.iterdir()) == []
