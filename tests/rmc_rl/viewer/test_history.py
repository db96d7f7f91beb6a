from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from rmc_rl.viewer.history import History
from rmc_rl.viewer.step import Step

MakeStep = Callable[..., Step]


def filled(make_step: MakeStep, lengths: tuple[int, ...], most_bytes: int = 10**9) -> tuple[History, list[list[Step]]]:
    """A history of episodes of so many steps, each with a board of its own, and the steps themselves."""
    random = np.random.default_rng(0)
    history, episodes = History(most_bytes), []
    for episode, length in enumerate(lengths):
        steps = []
        for number in range(length):
            board = random.integers(0, 256, (30, 40, 3), np.uint8)
            steps.append(make_step(episode=episode, number=number, value=float(number), board=board))
            history.add(steps[-1])
        episodes.append(steps)
    return history, episodes


def place(history: History) -> tuple[int, int]:
    return history.step.episode, history.step.number


def test_a_step_comes_back_as_it_was(make_step: MakeStep) -> None:
    observation = {"picture": np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8), "numbers": np.ones(3)}
    history, (steps,) = filled(make_step, (3,))
    history.add(make_step(number=3, observation=observation, board=None))
    history.seek(1)
    assert history.step.board is not None
    np.testing.assert_array_equal(history.step.board, steps[1].board)
    np.testing.assert_array_equal(history.step.observation, steps[1].observation)
    for name in ("value", "seed", "action", "memory", "attention", "gates", "probabilities"):
        assert getattr(history.step, name) is getattr(steps[1], name), name
    history.seek(3)
    history.seek(0)
    history.seek(3)
    assert history.step.board is None
    for name, values in observation.items():
        np.testing.assert_array_equal(history.step.observation[name], values)
        assert history.step.observation[name].dtype == values.dtype


def test_adding_stands_at_the_latest(make_step: MakeStep) -> None:
    history, episodes = filled(make_step, (4, 2))
    assert history.step is episodes[1][1]
    assert history.at_latest
    assert history.timeline.values.tolist() == [0.0, 1.0]
    history.seek(0)
    assert not history.at_latest
    history.add(make_step(episode=1, number=2))
    assert history.at_latest


def test_moving_passes_the_ends_of_episodes(make_step: MakeStep) -> None:
    history, _ = filled(make_step, (4, 2, 3))
    moves = [(-2, (2, 0)), (-1, (1, 1)), (-3, (0, 2)), (4, (2, 0)), (-100, (0, 0)), (100, (2, 2)), (-1, (2, 1))]
    for count, expected in moves:
        assert history.move(count)
        assert place(history) == expected
    history.latest()
    assert not history.move(1)
    history.move(-9)
    assert not history.move(-1)
    assert history.timeline.values.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_seeking_stays_in_the_episode(make_step: MakeStep) -> None:
    history, _ = filled(make_step, (4, 5))
    for number, expected in ((2, 2), (-3, 0), (100, 4)):
        assert history.seek(number)
        assert place(history) == (1, expected)
    assert not history.seek(4)


def test_episodes_one_after_the_other(make_step: MakeStep) -> None:
    history, _ = filled(make_step, (4, 5, 2))
    assert history.move_episode(-1)
    assert place(history) == (1, 0)
    assert history.move_episode(1)
    assert place(history) == (2, 0)
    assert not history.move_episode(1)
    assert history.move_episode(-2)
    assert not history.move_episode(-1)
    assert history.latest()
    assert place(history) == (2, 1)


def test_the_latest_step_can_be_amended(make_step: MakeStep) -> None:
    history, _ = filled(make_step, (3,))
    history.seek(0)
    history.amend(make_step(number=2, action=0, by_person=True))
    assert history.at_latest
    assert (history.step.action, history.step.by_person) == (0, True)
    assert history.timeline.actions.tolist() == [2, 2, 0]
    history.move(-1)
    history.move(1)
    assert history.step.by_person


@pytest.mark.parametrize("lengths", [(40,), (10, 30), (5, 5, 5, 5, 5, 5, 5, 5)])
def test_the_earliest_steps_go_first_when_memory_ends(make_step: MakeStep, lengths: tuple[int, ...]) -> None:
    whole, _ = filled(make_step, lengths)
    kept = whole.bytes // 4
    history, _ = filled(make_step, lengths, kept)
    assert kept * 0.8 < history.bytes <= kept
    latest = place(history)
    seen = [latest]
    while history.move(-1):
        seen.append(place(history))
    assert len(seen) == pytest.approx(sum(lengths) / 4, abs=2)
    first = seen[-1]
    assert history.since == first[1]
    history.seek(0)
    assert place(history) == first
    if lengths == (40,):
        assert history.timeline.values.tolist() == [float(i) for i in range(40)], "the time line keeps its numbers"


def test_what_is_beside_a_steps_arrays_counts_too(make_step: MakeStep) -> None:
    small = {"board": None, "observation": np.zeros(1), "attention": None, "gates": (), "memory": ()}
    steps = [make_step(number=i, value=float(i), reward=i / 7, entropy=i / 3, **small) for i in range(1000)]
    history = History()
    tracemalloc.start()
    for step in steps:
        history.add(step)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.2 * history.bytes


def test_the_latest_step_is_always_kept(make_step: MakeStep) -> None:
    history, episodes = filled(make_step, (3, 2), most_bytes=1)
    assert history.step is episodes[1][1]
    assert not history.move(-1)
    assert not history.move_episode(-1)
