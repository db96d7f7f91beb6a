from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
import pytest

from rmc_rl import palette
from rmc_rl.viewer.layout import arrange
from rmc_rl.viewer.panels import MINUS, Caption, Panels, Status, as_picture, number
from rmc_rl.viewer.step import MemoryPart, Step, Timeline

SIZE = (960, 540)


@pytest.fixture
def panels() -> Panels:
    return Panels(Caption("game", "core of some kind", ("left", "stay", "right")))


def drawn(panels: Panels, step: Step, status: Status | None = None, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 [height, width, 3]."""
    surface = pygame.Surface(size)
    timeline = Timeline()
    timeline.add(step)
    panels.draw(surface, step, timeline, status or Status(8.0))
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def differing(a: np.ndarray, b: np.ndarray) -> list[str]:
    """The names of the parts in which two pictures of the default size differ."""
    lay = arrange(*SIZE, 1.25, 1.0, True)
    names = ("header", "board", "numbers", "sees", "policy", "memory", "course")
    parts = {name: getattr(lay, name) for name in names}
    change = (a != b).any(-1)
    found = [name for name, box in parts.items() if change[box.top : box.bottom, box.left : box.right].any()]
    for box in parts.values():
        change[box.top : box.bottom, box.left : box.right] = False
    assert not change.any(), "something changed outside all parts"
    return found


def test_the_same_step_is_the_same_picture(panels: Panels, make_step: Callable[..., Step]) -> None:
    other = Panels(panels.caption)
    np.testing.assert_array_equal(drawn(panels, make_step()), drawn(other, make_step()))


def test_each_fact_has_its_place(panels: Panels, make_step: Callable[..., Step]) -> None:
    before = drawn(panels, make_step())
    changes = {
        "board": {"board": np.zeros((40, 50, 3), np.uint8)},
        "sees": {"observation": np.zeros((5, 5, 3), np.uint8)},
        "policy": {"probabilities": np.array([0.3, 0.3, 0.4])},
        "memory": {"memory": (MemoryPart("memory", np.ones((4, 32), np.float32)),)},
        "course": {"value": 2.5},
        "numbers": {"episode_return": 3.0},
    }
    for place, change in changes.items():
        assert differing(before, drawn(panels, make_step(**change))) == [place]
    assert differing(before, drawn(panels, make_step(action=0))) == ["policy"]
    assert differing(before, drawn(panels, make_step(seed=8))) == ["numbers"]
    assert differing(before, drawn(panels, make_step(ending="terminated"))) == ["board"]
    for status in (Status(9.0), Status(8.0, paused=True), Status(8.0, greedy=True), Status(8.0, message="saved")):
        assert differing(before, drawn(panels, make_step(), status)) == ["header"]


def test_the_help_lies_over_everything(panels: Panels, make_step: Callable[..., Step]) -> None:
    before, after = drawn(panels, make_step()), drawn(panels, make_step(), Status(8.0, help=True))
    assert (before != after).any(-1).mean() > 0.5


def test_the_chosen_action_is_marked(panels: Panels, make_step: Callable[..., Step]) -> None:
    box = arrange(*SIZE, 1.25, 1.0, True).policy
    rows = []
    for action in range(3):
        picture = drawn(panels, make_step(action=action, probabilities=np.full(3, 1 / 3)))
        orange = (picture[box.top : box.bottom, box.left : box.right] == palette.ORANGE).all(-1)
        rows.append(np.flatnonzero(orange.any(1)).mean())
    assert rows == sorted(rows)
    assert rows[2] - rows[0] > 50
    over = drawn(panels, make_step(action=None, ending="terminated"))
    assert not (over[box.top : box.bottom, box.left : box.right] == palette.ORANGE).all(-1).any()


def test_memory_rows_lie_one_below_the_other(panels: Panels, make_step: Callable[..., Step]) -> None:
    values = np.zeros((4, 32), np.float32)
    values[1] = 1.0
    box = arrange(*SIZE, 1.25, 1.0, True).memory
    picture = drawn(panels, make_step(memory=(MemoryPart("memory", values),)))
    heat = picture[box.top + box.height // 4 : box.bottom, box.left : box.right]
    bright = np.flatnonzero((np.abs(heat.astype(int) - palette.ORANGE) < 4).all(-1).mean(1) > 0.5)
    assert 0 < len(bright) < len(heat) / 3
    assert bright.max() < len(heat) / 2


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1280, 720), (500, 900), (1920, 1080)])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"observation": np.zeros(4, np.float32)},
        {"observation": np.linspace(-3, 3, 600, dtype=np.float32)},
        {"observation": np.zeros((84, 84, 4), np.uint8), "board": None},
        {"observation": np.zeros(4, np.float32), "board": None},
        {"board": np.zeros((10, 300, 3), np.uint8)},
        {"memory": ()},
        {"memory": (MemoryPart("h", np.zeros((1, 256), np.float32)), MemoryPart("c", np.ones((1, 256), np.float32)))},
        {"memory": (MemoryPart("memory", np.ones((40, 1000), np.float32)),)},
        {"memory": tuple(MemoryPart(f"part {i}", np.ones((2, 3), np.float32)) for i in range(8))},
        {"value": -1e9, "reward": -3.0, "episode_return": -1e12, "number": 123456, "seed": 2**60},
    ],
)
def test_all_sorts_of_agents_fit_all_sorts_of_windows(
    panels: Panels, make_step: Callable[..., Step], size: tuple[int, int], change: dict[str, object]
) -> None:
    picture = drawn(panels, make_step(**change), Status(8.0, help=True), size)
    assert picture.shape == (size[1], size[0], 3)
    plain = drawn(panels, make_step(**change), size=size)
    assert (plain != palette.GROUND).any(-1).mean() > 0.3


def test_of_many_actions_the_likeliest_and_the_chosen_are_shown(make_step: Callable[..., Step]) -> None:
    panels = Panels(Caption("game", "", tuple(f"action {i}" for i in range(100))))
    probabilities = np.zeros(100)
    probabilities[40] = 1.0
    box = arrange(*SIZE, 1.25, 1.0, True).policy
    picture = drawn(panels, make_step(probabilities=probabilities, action=99))
    part = picture[box.top : box.bottom, box.left : box.right]
    assert (part == palette.BLUE).all(-1).any()
    assert (part == palette.ORANGE).all(-1).any()


def test_a_long_episode_is_drawn(panels: Panels, make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    random = np.random.default_rng(0)
    for i in range(3000):
        timeline.add(make_step(number=i, value=float(random.normal()), reward=float(random.integers(-1, 2))))
    surface = pygame.Surface(SIZE)
    panels.draw(surface, make_step(number=2999), timeline, Status(8.0))
    box = arrange(*SIZE, 1.25, 1.0, True).course
    part = pygame.surfarray.array3d(surface).swapaxes(0, 1)[box.top : box.bottom, box.left : box.right]
    assert (part == palette.VERMILION).all(-1).any()
    assert (part == palette.BLUE).all(-1).any()


def test_observations_as_pictures() -> None:
    colour = np.ones((4, 4, 3), np.uint8)
    assert as_picture(colour) is colour
    stacked = np.zeros((4, 4, 4), np.uint8)
    stacked[..., -1] = 9
    np.testing.assert_array_equal(as_picture(stacked), np.full((4, 4, 3), 9))
    assert as_picture(np.zeros(4, np.float32)) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (12345.0, "12,345"),
        (0.125, "0.12"),
        (-2.5, f"{MINUS}2.50"),
        (123.456, "123.5"),
        (-1e-9, "0"),
        (0.001, "0"),
    ],
)
def test_numbers_as_people_write_them(value: float, words: str) -> None:
    assert number(value) == words


def test_a_sign_is_shown_where_asked() -> None:
    assert [number(value, signed=True) for value in (1.0, 0.0, -1.0)] == ["+1", "0", f"{MINUS}1"]
