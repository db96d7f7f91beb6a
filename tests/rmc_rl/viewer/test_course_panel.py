from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pygame
import pytest
from pygame import Rect

from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.course_panel import PERSON, SHORTEST_SPAN, Track, draw_course, span_of
from rmc_rl.viewer.layout import arrange
from rmc_rl.viewer.step import Step, Timeline

SIZE = (1280, 720)
NAMES = ("left", "stay", "right")
MakeStep = Callable[..., Step]
Draw = Callable[..., tuple[np.ndarray, Track]]


def episode(make_step: MakeStep, length: int = 20, **changed: object) -> Timeline:
    timeline = Timeline()
    for i in range(length):
        timeline.add(make_step(**({"number": i, "value": float(i), "action": i % 3} | changed)))
    return timeline


def drawn(
    timeline: Timeline,
    place: int,
    size: tuple[int, int] = SIZE,
    names: tuple[str, ...] = NAMES,
    largest_entropy: float | None = None,
    since: int = 0,
) -> tuple[np.ndarray, Track]:
    """The picture, int [height, width, 3], in which only the course's part may be drawn, and the time line."""
    canvas = Canvas()
    canvas.surface = pygame.Surface(size)
    lay = arrange(*size, 1.25, 1.0, True)
    track = draw_course(canvas, lay, timeline, place, names, largest_entropy, since)
    picture = pygame.surfarray.array3d(canvas.surface).swapaxes(0, 1).astype(int)
    outside = picture.copy()
    outside[lay.course.top : lay.course.bottom, lay.course.left : lay.course.right] = 0
    assert not outside.any(), "something was drawn outside"
    assert lay.course.contains(track.box)
    return picture, track


def lanes(before: np.ndarray, after: np.ndarray, track: Track) -> tuple[float, float]:
    """Where the time lines differ: from and to which share of the height."""
    part = slice(track.box.left + 8, track.box.right)
    rows = np.flatnonzero((before != after)[track.box.top : track.box.bottom, part].any(axis=(1, 2)))
    return rows.min() / track.box.height, rows.max() / track.box.height


def test_a_window_of_a_few_pixels_has_a_time_line(make_step: MakeStep) -> None:
    timeline = episode(make_step, 3)
    canvas = Canvas()
    canvas.surface = pygame.Surface((20, 3000))
    lay = arrange(20, 3000, 1.25, 1.0, True)
    assert draw_course(canvas, lay, timeline, 1, NAMES, None, 0).box.width == 1


def test_a_place_on_the_time_line_is_a_step_and_back() -> None:
    track = Track(Rect(100, 0, 730, 50), 45, 30)
    assert [track.step_at(round(track.middle(i))) for i in range(30)] == list(range(30))
    assert track.step_at(0) == 0
    assert track.step_at(10_000) == 29


def test_the_span_holds_still_and_leaps() -> None:
    spans = [span_of(length) for length in range(1, 5000)]
    assert spans[0] == SHORTEST_SPAN
    assert all(length <= span <= max(SHORTEST_SPAN, 1.3 * length) for length, span in enumerate(spans, 1))
    assert len(set(spans)) < 30


def test_each_course_has_its_lane(make_step: MakeStep) -> None:
    before, track = drawn(episode(make_step), 19, largest_entropy=2.0)
    changes: list[dict[str, object]] = [
        {"value": 3.0},
        {"reward": -1.0},
        {"entropy": 1.6},
        {"probabilities": np.array([0.5, 0.4, 0.1])},
    ]
    found = [
        lanes(before, drawn(episode(make_step, **change), 19, largest_entropy=2.0)[0], track) for change in changes
    ]
    for upper, lower in itertools.pairwise(found):
        assert upper[0] <= upper[1] < lower[0] <= lower[1], found


def test_what_was_done_stands_out_and_who_did_it(make_step: MakeStep) -> None:
    timeline = Timeline()
    for i in range(20):
        probabilities = np.eye(3)[i % 3]
        timeline.add(make_step(number=i, action=i % 3, probabilities=probabilities, by_person=i >= 12))
    picture, track = drawn(timeline, 19)
    middles = []
    for i in range(19):
        column = picture[track.box.top : track.box.bottom, round(track.middle(i))]
        mine, other = (PERSON, palette.ORANGE) if i >= 12 else (palette.ORANGE, PERSON)
        assert not (np.abs(column - other) < 3).all(-1).any()
        rows = np.flatnonzero((np.abs(column - mine) < 3).all(-1))
        assert rows.max() - rows.min() < 25
        middles.append(rows.mean())
    assert middles[0] + 10 < middles[1] < middles[2] - 10
    assert middles == [middles[i % 3] for i in range(19)]


def test_a_mark_shows_where_one_stands(make_step: MakeStep) -> None:
    timeline = episode(make_step)
    for place in (0, 7, 19):
        picture, track = drawn(timeline, place)
        white = (picture[track.box.top : track.box.bottom, track.box.left : track.box.right] == palette.TEXT).all(-1)
        columns = np.flatnonzero(white.mean(0) > 0.9)
        assert columns.mean() + track.box.left == pytest.approx(track.middle(place), abs=2)


def test_the_numbers_are_those_of_the_place(make_step: MakeStep) -> None:
    timeline = episode(make_step, reward=1.0)
    pictures = {place: drawn(timeline, place) for place in (3, 12)}
    labels = [picture[:, : track.box.left - 60] for picture, track in pictures.values()]
    assert (labels[0] != labels[1]).any()


def test_what_is_no_longer_kept_is_shaded(make_step: MakeStep) -> None:
    timeline = episode(make_step, reward=1.0)
    before, track = drawn(timeline, 19)
    after, _ = drawn(timeline, 19, since=8)
    changed = np.flatnonzero((before != after).any(axis=(0, 2)))
    assert track.box.left <= changed.min() < changed.max() <= round(track.middle(8))
    assert after.sum() < before.sum()


@pytest.mark.parametrize("size", [(320, 240), (640, 400), (960, 540), (1920, 1080), (500, 900), (3440, 1440)])
@pytest.mark.parametrize("length", [1, 24, 25, 700, 5000])
def test_an_episode_of_any_length_fits_any_window(make_step: MakeStep, size: tuple[int, int], length: int) -> None:
    picture, track = drawn(episode(make_step, length), length - 1, size)
    end = round(track.middle(length - 1))
    assert (picture[track.box.top : track.box.bottom, end - 1 : end + 2] == palette.YELLOW).all(-1).any()
    assert track.step_at(track.box.left) == 0
    assert track.step_at(end) == pytest.approx(length - 1, abs=track.span / track.box.width + 1)


@pytest.mark.parametrize("count", [1, 5, 18, 300])
def test_any_number_of_actions(make_step: MakeStep, count: int) -> None:
    names = tuple(f"action {i}" for i in range(count))
    probabilities = np.full(count, 1 / count)
    drawn(episode(make_step, probabilities=probabilities, action=0), 19, names=names)
    drawn(episode(make_step, probabilities=probabilities, action=(0.5,) * count), 19, names=names)
    drawn(episode(make_step, probabilities=probabilities, action=None, ending="terminated"), 19, names=names)


def test_a_long_episode_shows_what_stands_out(make_step: MakeStep) -> None:
    timeline = Timeline()
    for i in range(5000):
        timeline.add(make_step(number=i, reward=-7.0 if i == 2500 else 0.0))
    picture, track = drawn(timeline, 4999)
    found = np.flatnonzero((picture == palette.VERMILION).all(-1).any(0))
    assert found.mean() == pytest.approx(track.middle(2500), abs=2)
