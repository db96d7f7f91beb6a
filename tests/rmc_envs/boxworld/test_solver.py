"""Every level can be solved from what the agent sees: a solver that reads pictures only takes every gem.

The solver knows how the room looks, what each action does and that boxes pay; it never looks at a game's state.
"""

from collections import deque
from collections.abc import Generator
from typing import Any

import gymnasium
import numpy as np
import pytest

Place = tuple[int, int]
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))

WALL, FLOOR, GEM = (0, 0, 0), (204, 204, 204), (255, 255, 255)
"""Colours; all others are those of keys and locks."""


def route(cells: dict[Place, Any], start: Place, target: Place) -> list[int]:
    """The shortest way over the floor to a cell beside others, as actions."""
    before: dict[Place, tuple[Place, int]] = {}
    edge = deque([start])
    while target not in before:
        cell = edge.popleft()
        for action, (down, right) in enumerate(STEPS):
            place = cell[0] + down, cell[1] + right
            if place not in before and (place == target or cells.get(place) == FLOOR):
                before[place] = cell, action
                edge.append(place)
    actions = []
    place = target
    while not actions or place != start:
        place, action = before[place]
        actions.append(action)
    return actions[::-1]


def keys_in_order(boxes: dict[Any, list[tuple[Any, Place]]], colour: Any) -> list[tuple[Any, Place]]:
    """The fewest boxes that lead from a key to the gem: their contents and the cells of the contents."""
    before: dict[Any, tuple[Any, Place]] = {colour: (None, (0, 0))}
    edge = deque([colour])
    while GEM not in before:
        lock = edge.popleft()
        for content, place in boxes.get(lock, []):
            if content not in before:
                before[content] = lock, place
                edge.append(content)
    chain = [GEM]
    while chain[-1] != colour:
        chain.append(before[chain[-1]][0])
    return [(content, before[content][1]) for content in chain[-2::-1]]


def plan(cells: dict[Place, Any], agent: Place) -> list[int]:
    """All actions of an episode, from the colours of the room's cells."""
    cells = cells | {agent: FLOOR}
    things = {place: colour for place, colour in cells.items() if colour not in (WALL, FLOOR)}
    boxes: dict[Any, list[tuple[Any, Place]]] = {}
    loose = []
    for (row, column), colour in things.items():
        lock = things.get((row, column + 1))
        if lock is not None:
            boxes.setdefault(lock, []).append((colour, (row, column)))
        elif (row, column - 1) not in things:
            loose.append(((row, column), colour))
    ((place, colour),) = loose
    actions = route(cells, agent, place)
    cells[place] = FLOOR
    for _, content in keys_in_order(boxes, colour):
        lock_place = content[0], content[1] + 1
        actions += [*route(cells, place, lock_place), 2]
        cells[lock_place] = cells[content] = FLOOR
        place = content
    return actions


Player = Generator[int, np.ndarray, None]
"""Yields actions and is sent the observations that follow them."""


def sees_all(picture: np.ndarray) -> Player:
    """Plans the whole episode from the first picture."""
    colours = picture.tolist()
    cells = {(r, c): tuple(colour) for r, row in enumerate(colours) for c, colour in enumerate(row)}
    (agent,) = [place for place, colour in cells.items() if colour == (128, 128, 128)]
    for action in plan(cells, agent):  # noqa: UP028 - a list cannot be sent the pictures that follow
        yield action


def nearest_view_of_unknown(cells: dict[Place, Any], start: Place) -> list[int]:
    """The shortest way over the floor to a cell whose window shows something new; empty if there is none."""
    edge: deque[tuple[Place, list[int]]] = deque([(start, [])])
    reached = {start}
    while edge:
        (row, column), actions = edge.popleft()
        if any((row + down, column + right) not in cells for down in (-2, 2) for right in range(-2, 3)) or any(
            (row + down, column + right) not in cells for down in range(-2, 3) for right in (-2, 2)
        ):
            return actions
        for action, (down, right) in enumerate(STEPS):
            place = row + down, column + right
            if place not in reached and cells[place] == FLOOR:
                reached.add(place)
                edge.append((place, [*actions, action]))
    return []


def sees_a_window(picture: np.ndarray) -> Player:
    """Walks about without taking anything until no window shows anything new, then plans. Its start is (0, 0)."""
    row = column = 0
    cells: dict[Place, Any] = {}
    while True:
        for r, line in enumerate(picture[..., :3].tolist(), row - 2):
            for c, colour in enumerate(line, column - 2):
                cells[r, c] = tuple(colour)
        cells[row, column] = FLOOR
        actions = nearest_view_of_unknown(cells, (row, column))
        if not actions:
            break
        for action in actions:
            picture = yield action
            row, column = row + STEPS[action][0], column + STEPS[action][1]
    for action in plan(cells, (row, column)):
        yield action


def solve(env_id: str, games: int, seed: int, **options: Any) -> None:
    """Play the first level of each game by its pictures, and require all that it pays."""
    envs: Any = gymnasium.make_vec(env_id, num_envs=games, **options)
    pictures, _ = envs.reset(seed=seed)
    wanted = envs.get_state()["solution_length"] + 10
    players = [(sees_all if picture.shape[-1] == 3 else sees_a_window)(picture) for picture in pictures]
    actions = np.array([next(player) for player in players])
    returns = np.zeros(games)
    playing = np.ones(games, np.bool_)
    solved = np.zeros(games, np.bool_)
    while playing.any():
        pictures, rewards, terminated, truncated, _ = envs.step(actions)
        assert not (truncated & playing).any()
        returns[playing] += rewards[playing]
        solved |= terminated & playing & (rewards == 10)
        playing &= ~terminated
        for game in np.flatnonzero(playing):
            actions[game] = players[game].send(pictures[game])  # a plan that ends without the gem fails here
    assert solved.all()
    np.testing.assert_array_equal(returns, wanted)


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("rmc/BoxWorld-v0", {}),
    ("rmc/BoxWorld-v0", {"solution_length": (1, 5), "num_distractors": (0, 5)}),
    ("rmc/BoxWorld-v0", {"solution_length": (8, 8), "num_distractors": (3, 3), "max_steps": 300}),
    ("rmc/BoxWorld-v0", {"num_distractors": (1, 4), "distractor_length": 2}),
    ("rmc/BoxWorld-v0", {"num_distractors": (1, 2), "distractor_length": 3}),
    ("rmc/BoxWorld-v0", {"num_distractors": (0, 0), "num_backward_distractors": (1, 4)}),
    # with both kinds and three boxes to open, some levels show two ways of the same length
    ("rmc/BoxWorld-v0", {"solution_length": (1, 2), "num_distractors": (1, 4), "num_backward_distractors": (1, 4)}),
    ("rmc/BoxWorldViewport-v0", {"max_steps": 500}),
]


@pytest.mark.parametrize(("env_id", "options"), SETTINGS)
def test_every_level_is_solved_from_its_picture(env_id: str, options: dict[str, Any]) -> None:
    solve(env_id, 200, seed=123_456, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "options"), SETTINGS)
def test_ten_thousand_levels_are_solved_from_their_pictures(env_id: str, options: dict[str, Any]) -> None:
    for seed in range(0, 10_000, 500):
        solve(env_id, 500, seed, **options)
