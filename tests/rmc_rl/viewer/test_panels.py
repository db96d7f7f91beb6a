from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
import pytest

from rmc_rl import palette
from rmc_rl.viewer.course_panel import PERSON
from rmc_rl.viewer.layout import arrange
from rmc_rl.viewer.panels import Caption, Panels, Status, as_picture
from rmc_rl.viewer.session import Session
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


def test_the_caption_of_an_agent_at_play(session: Session) -> None:
    caption = Caption.of(session)
    assert caption.title == "minipacman-viewport"
    assert caption.subtitle == f"core rmc  ·  trained for {session.policy.progress.steps:,} steps"
    assert caption.action_names == ("stay", "right", "up", "left", "down")
    assert caption.largest_entropy == pytest.approx(np.log(5))


def test_the_same_step_is_the_same_picture(panels: Panels, make_step: Callable[..., Step]) -> None:
    other = Panels(panels.caption)
    np.testing.assert_array_equal(drawn(panels, make_step()), drawn(other, make_step()))


def test_each_fact_has_its_place(panels: Panels, make_step: Callable[..., Step]) -> None:
    before = drawn(panels, make_step())
    changes = {
        "board": {"board": np.zeros((40, 50, 3), np.uint8)},
        "sees": {"observation": np.zeros((5, 5, 3), np.uint8)},
        "memory": {"memory": (MemoryPart("memory", np.ones((4, 32), np.float32)),)},
        "course": {"value": -2.5},
        "numbers": {"episode_return": 3.0},
    }
    for place, change in changes.items():
        assert differing(before, drawn(panels, make_step(**change))) == [place]
    assert differing(before, drawn(panels, make_step(action=0))) == ["policy", "course"]
    assert differing(before, drawn(panels, make_step(seed=8))) == ["numbers"]
    assert differing(before, drawn(panels, make_step(ending="terminated"))) == ["board"]
    for status in (
        Status(9.0),
        Status(8.0, paused=True),
        Status(8.0, greedy=True),
        Status(8.0, message="saved"),
        Status(8.0, prompt="seed: 7"),
    ):
        assert differing(before, drawn(panels, make_step(), status)) == ["header"]


def test_who_plays_is_seen_at_a_glance(panels: Panels, make_step: Callable[..., Step]) -> None:
    before = drawn(panels, make_step())
    after = drawn(panels, make_step(), Status(8.0, person=("left", "enter", "right")))
    board = arrange(*SIZE, 1.25, 1.0, True).board
    for y, x in ((board.centery, board.left - 1), (board.top - 1, board.centerx)):
        assert tuple(before[y, x]) == palette.GROUND
        assert tuple(after[y, x]) == PERSON
    assert (before[:40] != after[:40]).any(), "the header says so"


def test_looking_back_is_told(panels: Panels, make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    for i in range(5):
        timeline.add(make_step(number=i))
    pictures = []
    for number in (4, 3):
        surface = pygame.Surface(SIZE)
        panels.draw(surface, make_step(number=number), timeline, Status(8.0))
        pictures.append(pygame.surfarray.array3d(surface).swapaxes(0, 1))
    header = arrange(*SIZE, 1.25, 1.0, True).header
    upper = slice(header.top, header.bottom)
    yellow = [(np.abs(picture[upper].astype(int) - palette.YELLOW) < 50).all(-1) for picture in pictures]
    assert not yellow[0].any()
    assert yellow[1].any()


def test_a_picture_tells_where_its_time_line_and_its_choices_lie(
    panels: Panels, make_step: Callable[..., Step]
) -> None:
    drawn(panels, make_step())
    lay = arrange(*SIZE, 1.25, 1.0, True)
    assert lay.course.contains(panels.track.box)
    assert len(panels.targets) == 1 + 3 + 2
    drawn(panels, make_step(memory=(), attention=None))
    assert panels.targets == []


def test_the_help_lies_over_everything(panels: Panels, make_step: Callable[..., Step]) -> None:
    before, after = drawn(panels, make_step()), drawn(panels, make_step(), Status(8.0, help=True))
    assert (before != after).any(-1).mean() > 0.5


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
    colour = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    np.testing.assert_array_equal(as_picture(colour), colour)
    stacked = np.zeros((4, 4, 4), np.uint8)
    stacked[..., -1] = 9
    np.testing.assert_array_equal(as_picture(stacked), np.full((4, 4, 3), 9))
    assert as_picture(np.zeros(4, np.float32)) is None


def test_several_pictures_stand_side_by_side() -> None:
    """As BoxWorld's viewport: the cells around, and the colour of the key that is held."""
    both = np.random.default_rng(0).integers(0, 256, (5, 5, 6), np.uint8)
    picture = as_picture({"all": both})
    assert picture is not None
    assert picture.shape == (5, 11, 3)
    np.testing.assert_array_equal(picture[:, :5], both[..., :3])
    np.testing.assert_array_equal(picture[:, 6:], both[..., 3:])
