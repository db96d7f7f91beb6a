from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from rmc_rl.viewer.encoder import encoder

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


def test_an_mp4_holds_the_pictures(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write(tmp_path / "a.mp4", pictures, speed=12.5)
    found = list(iio.imiter(tmp_path / "a.mp4"))
    assert len(found) == len(pictures)
    for frame, picture in zip(found, pictures, strict=True):
        assert frame.shape == picture.shape
        assert np.abs(frame.astype(int) - picture).mean() < 8
    properties = iio.immeta(tmp_path / "a.mp4")
    assert properties["codec"] == "h264"
    assert properties["pix_fmt"].startswith("yuv420p")
    assert properties["fps"] == 12.5


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, pictures: list[np.ndarray], name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=name):
        write(tmp_path / name, pictures * 50)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_an_error_while_drawing_is_passed_on(tmp_path: Path, pictures: list[np.ndarray], name: str) -> None:
    def pictures_that_fail() -> Iterator[np.ndarray]:
        yield from pictures
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path / name, pictures_that_fail())
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
