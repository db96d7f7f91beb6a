from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.minipacman import TASKS
from rmc_envs.minipacman.maze import CELL_COLUMN, CELL_ROW, cell_at

FULL, VIEWPORT = "rmc/MiniPacman-v0", "rmc/MiniPacmanViewport-v0"


def vector(env_id: str, num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(env_id, num_envs=num_envs, **options)


@pytest.mark.parametrize(("outside", "fill"), [("wall", 255), ("empty", 0)])
@pytest.mark.parametrize("task", list(TASKS))
def test_viewport_is_the_crop_of_the_full_picture(
    task: str, outside: str, fill: int, fixed_actions: Callable[[int, int, int], np.ndarray]
) -> None:
    games = 8
    full = vector(FULL, games, task=task)
    view = vector(VIEWPORT, games, task=task, outside=outside)
    pictures, windows = full.reset(seed=6)[0], view.reset(seed=6)[0]
    edges = 0
    for action in fixed_actions(700, games, 5):
        cells = full.get_state()["pacman"]
        padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
        for game, (row, column) in enumerate(zip(CELL_ROW[cells], CELL_COLUMN[cells], strict=True)):
            np.testing.assert_array_equal(windows[game], padded[game, row - 1 : row + 4, column - 1 : column + 4])
            edges += row in (1, 13) or column in (1, 17)
        of_full, of_view = full.step(action), view.step(action)
        for a, b in zip(of_full[1:4], of_view[1:4], strict=True):
            np.testing.assert_array_equal(a, b)
        pictures, windows = of_full[0], of_view[0]
    assert edges > 100


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"task": "chase"}, ValueError, r"task must be one of regular, avoid, hunt, ambush, rush, got 'chase'"),
        ({"max_steps": 0}, ValueError, r"max_steps must be in 1 \.\. \d+, got 0"),
        ({"max_steps": 1.5}, TypeError, "max_steps must be an integer, got 1.5"),
        ({"time_limit": 0}, ValueError, r"time_limit must be in 1 \.\. \d+, got 0"),
        ({"level": 0}, ValueError, r"level must be in 1 \.\. 1000, got 0"),
        ({"level": "2"}, TypeError, "level must be an integer, got '2'"),
        ({"fast_pacman": 1}, TypeError, "fast_pacman must be True or False, got 1"),
        ({"task": ["hunt"]}, ValueError, r"task must be one of .*, got \['hunt'\]"),
        ({"observation": "ascii"}, ValueError, "observation must be one of rgb, planes, got 'ascii'"),
        ({"outside": "sea"}, ValueError, "outside must be one of wall, empty, got 'sea'"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vector(VIEWPORT, 2, **options)
    with pytest.raises(error, match=words):
        gymnasium.make(VIEWPORT, **options)


def test_the_full_view_has_no_outside() -> None:
    with pytest.raises(TypeError, match="outside"):
        vector(FULL, 2, outside="wall")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ground", 0),
        ("food_left", 3),
        ("pacman", cell_at(0, 0)),
        ("pacman", -1),
        ("pacman_heading", 4),
        ("pills", cell_at(2, 2)),
        ("num_ghosts", 129),
        ("num_ghosts", -1),
        ("ghosts", 9999),
        ("ghost_headings", -1),
        ("power", 21),
        ("level", 0),
        ("level", 1001),
        ("level", 2**31 - 1),
        ("timer", -1),
        ("timer", 3001),
        ("frame", -1),
        ("frame", 3001),
        ("frame", 2**31 - 1),
        ("score", np.nan),
    ],
)
def test_states_no_game_can_have_are_refused(field: str, value: float) -> None:
    envs = vector(VIEWPORT, 2)
    envs.reset(seed=0)
    state = envs.get_state()
    state[field][1] = value
    with pytest.raises(ValueError, match=f"in {field}"):
        envs.set_state(state)


def test_unused_ghost_places_may_hold_anything() -> None:
    envs = vector(VIEWPORT, 2)
    envs.reset(seed=0)
    state = envs.get_state()
    state["ghosts"][:, 5:] = 9999
    envs.set_state(state)


@pytest.mark.parametrize("env_id", [FULL, VIEWPORT])
def test_planes_tell_what_the_picture_shows(env_id: str, fixed_actions: Callable[[int, int, int], np.ndarray]) -> None:
    """The picture follows from the planes by its order of priority; where nothing is hidden both say the same."""
    games = 8
    colour, layered = vector(env_id, games, level=5), vector(env_id, games, level=5, observation="planes")
    pictures, planes = colour.reset(seed=6)[0], layered.reset(seed=6)[0]
    assert layered.single_observation_space.shape == (*pictures.shape[1:3], 6)
    frightened = 0
    for action in fixed_actions(500, games, 5):
        walls, food, pacman, hunting, fleeing, pills = np.moveaxis(planes, -1, 0)
        drawn = np.zeros_like(pictures)
        drawn[walls > 0] = 255
        drawn[food > 0] = (0, 0, 255)
        drawn[pills > 0] = (0, 255, 255)
        ghosts = (hunting > 0) | (fleeing > 0)
        drawn[ghosts] = np.stack([hunting + fleeing, fleeing, np.zeros_like(fleeing)], axis=-1)[ghosts]
        drawn[pacman > 0] = (0, 255, 0)
        np.testing.assert_array_equal(pictures, drawn)
        frightened += (fleeing > 0).sum()
        pictures, planes = colour.step(action)[0], layered.step(action)[0]
    assert frightened > 0


@pytest.mark.parametrize("level", [1, 2, 3, 8])
def test_an_episode_begins_with_the_level_asked_for(level: int) -> None:
    envs = vector(FULL, 4, level=level)
    envs.reset(seed=0)
    state = envs.get_state()
    assert (state["level"] == level).all()
    assert (state["num_ghosts"] == 1 + (level - 1) // 2).all()


def test_text_shows_the_maze_and_the_window() -> None:
    env: Any = gymnasium.make(FULL, render_mode="ansi").unwrapped
    env.reset(seed=0)
    state = env.get_state()
    state["pacman"][:] = cell_at(3, 3)
    state["pacman_heading"][:] = 2
    state["ghosts"][:, 0] = cell_at(3, 5)
    state["pills"][:] = cell_at(3, 7)
    env.set_state(state)
    lines = env.render().splitlines()
    assert lines[0] == "#" * 19
    assert lines[3] == "#..>.G.o..........#"
    assert lines[15] == "level 1  power 0  score 0  step 0"
    view: Any = gymnasium.make(VIEWPORT, render_mode="ansi").unwrapped
    view.reset(seed=0)
    view.set_state(state | {"power": np.array([3], state["power"].dtype)})
    inside = [line[line.index("[") + 1 : line.index("]")] for line in view.render().splitlines() if "[" in line]
    assert inside == ["...#.", ".#.#.", "..>.g", ".#.#.", ".#..."]
