from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest

from rmc_rl import palette
from rmc_rl.viewer.camera import Camera
from rmc_rl.viewer.step import Step

MakeStep = Callable[..., Step]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def camera(told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Camera:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Camera("game", told.append)


@pytest.fixture
def surface() -> pygame.Surface:
    surface = pygame.Surface((64, 48))
    surface.fill(palette.BLUE)
    return surface


def files() -> list[str]:
    return sorted(path.name for path in Path.cwd().iterdir())


def test_every_picture_has_a_name_of_its_own(
    camera: Camera, told: list[str], surface: pygame.Surface, make_step: MakeStep
) -> None:
    for colour in (palette.BLUE, palette.ORANGE, palette.GREEN):
        surface.fill(colour)
        camera.save(surface, make_step(number=3))
    names = ["game-seed7-step3.png", "game-seed7-step3-2.png", "game-seed7-step3-3.png"]
    assert told == [f"saved {name}" for name in names]
    colours = [tuple(pygame.image.load(name).get_at((0, 0)))[:3] for name in names]
    assert colours == [palette.BLUE, palette.ORANGE, palette.GREEN]


def test_a_name_from_elsewhere_stays_in_the_working_directory(
    camera: Camera, told: list[str], surface: pygame.Surface, make_step: MakeStep
) -> None:
    Camera("../game", told.append).save(surface, make_step())
    assert files() == ["..-game-seed7-step0.png"]


def test_nothing_is_left_of_a_picture_that_cannot_be_written(
    camera: Camera, told: list[str], surface: pygame.Surface, make_step: MakeStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: pygame.Surface, path: str) -> None:
        Path(path).write_bytes(b"part")
        raise pygame.error("the disk is full")

    monkeypatch.setattr("pygame.image.save", fill)
    camera.save(surface, make_step())
    assert told == ["game-seed7-step0.png cannot be written: the disk is full"]
    assert files() == []


def test_two_videos_of_one_step(camera: Camera, told: list[str], surface: pygame.Surface, make_step: MakeStep) -> None:
    for _ in range(2):
        camera.begin(surface, make_step())
        assert camera.filming
        camera.tick(0.2)
        camera.end()
    assert not camera.filming
    assert files() == ["game-seed7-step0-2.mp4", "game-seed7-step0.mp4"]
    assert told == ["saved game-seed7-step0.mp4", "saved game-seed7-step0-2.mp4"]


def test_the_mark_is_seen_while_a_video_is_made(camera: Camera, surface: pygame.Surface, make_step: MakeStep) -> None:
    before = pygame.surfarray.array3d(surface)
    camera.show(surface)
    np.testing.assert_array_equal(pygame.surfarray.array3d(surface), before)
    camera.begin(surface, make_step())
    camera.show(surface)
    assert tuple(surface.get_at((9, 9)))[:3] == palette.VERMILION
    camera.show(pygame.Surface((32, 32)))
    assert not camera.filming, "a video has one size"


def test_a_folder_that_is_gone_is_told(
    camera: Camera, told: list[str], surface: pygame.Surface, make_step: MakeStep
) -> None:
    Path.cwd().rmdir()
    camera.begin(surface, make_step())
    camera.save(surface, make_step())
    assert not camera.filming
    assert [message.split(": ")[0] for message in told] == [
        "game-seed7-step0.mp4 cannot be written",
        "game-seed7-step0.png cannot be written",
    ]
