from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
import pytest

from rmc_agents.actions import Continuous, Discrete, MultiDiscrete
from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.course_panel import PERSON
from rmc_rl.viewer.layout import arrange
from rmc_rl.viewer.policy_panel import draw_policy, title_of
from rmc_rl.viewer.step import Step

SIZE = (1280, 720)
NAMES = ("left", "stay", "right")
MakeStep = Callable[..., Step]


def drawn(
    step: Step, names: tuple[str, ...] = NAMES, person: tuple[str, ...] | None = None, size: tuple[int, int] = SIZE
) -> np.ndarray:
    """The policy's part of a picture, int [height, width, 3]."""
    canvas = Canvas()
    canvas.surface = pygame.Surface(size)
    lay = arrange(*size, 1.25, 1.0, True)
    draw_policy(canvas, lay, step, "action probabilities", names, person)
    picture = pygame.surfarray.array3d(canvas.surface).swapaxes(0, 1).astype(int)
    return picture[lay.policy.top : lay.policy.bottom, lay.policy.left : lay.policy.right]


def rows_of(picture: np.ndarray, colour: palette.Colour) -> np.ndarray:
    return np.flatnonzero((picture == colour).all(-1).any(1))


def test_the_title_says_what_the_bars_say() -> None:
    titles = [title_of(actions) for actions in (Discrete(3), MultiDiscrete([3, 2]), Continuous([True]))]
    assert titles == ["action probabilities", "action, and how likely each part was", "action, between its bounds"]


def test_the_chosen_action_is_marked(make_step: MakeStep) -> None:
    middles = []
    for action in range(3):
        picture = drawn(make_step(action=action, probabilities=np.full(3, 1 / 3)))
        middles.append(rows_of(picture, palette.ORANGE).mean())
    assert middles == sorted(middles)
    assert middles[2] - middles[0] > 40
    over = drawn(make_step(action=None, ending="terminated"))
    assert len(rows_of(over, palette.ORANGE)) == 0


def test_bars_are_as_long_as_likely(make_step: MakeStep) -> None:
    picture = drawn(make_step(action=None, probabilities=np.array([0.25, 0.0, 0.75])))
    blue = (picture == palette.BLUE).all(-1).sum(1)
    lengths = sorted({length for length in blue.tolist() if length > 20})
    assert lengths[-1] / blue[: len(blue) // 2].max() == pytest.approx(3.0, rel=0.05)


def test_a_persons_choice_has_the_persons_colour(make_step: MakeStep) -> None:
    agent, person = drawn(make_step(action=1)), drawn(make_step(action=1, by_person=True))
    body = slice(36, None)
    assert len(rows_of(agent[body], palette.ORANGE)) > 0
    assert len(rows_of(agent[body], PERSON)) == 0
    assert len(rows_of(person[body], palette.ORANGE)) == 0
    assert len(rows_of(person[body], PERSON)) > 0


def test_while_a_person_plays_each_action_shows_its_key(make_step: MakeStep) -> None:
    keys = drawn(make_step(action=None), person=("left", "enter", "3"))
    rows = np.flatnonzero((np.abs(keys[40:] - PERSON) < 40).all(-1).any(1))
    assert len(rows) > 20
    assert rows.max() - rows.min() > 50
    assert len(rows_of(drawn(make_step(action=None)), PERSON)) == 0


def test_of_many_actions_the_likeliest_and_the_chosen_are_shown(make_step: MakeStep) -> None:
    probabilities = np.zeros(100)
    probabilities[40] = 1.0
    names = tuple(f"action {i}" for i in range(100))
    for person in (None, names):
        picture = drawn(make_step(probabilities=probabilities, action=99), names, person)
        assert len(rows_of(picture, palette.BLUE)) > 0
        assert len(rows_of(picture, palette.ORANGE)) > 0


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (500, 900), (3840, 2160)])
@pytest.mark.parametrize("action", [0, None, (0.3, -1.0, 2.0), (1, 2, 0)])
def test_all_kinds_of_actions_fit(make_step: MakeStep, size: tuple[int, int], action: object) -> None:
    assert len(np.unique(drawn(make_step(action=action), size=size).reshape(-1, 3), axis=0)) > 3
