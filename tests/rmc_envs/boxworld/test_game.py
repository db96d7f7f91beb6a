from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, GEM, KEYS, LOCKS, WALL

FULL, VIEWPORT = "rmc/BoxWorld-v0", "rmc/BoxWorldViewport-v0"
FixedActions = Callable[[int, int, int], np.ndarray]


def vector(env_id: str, num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(env_id, num_envs=num_envs, **options)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    (FULL, {"max_steps": 50}),
    (FULL, {"num_distractors": (0, 2), "num_backward_distractors": (0, 2), "distractor_length": 2, "max_steps": 30}),
    (FULL, {"grid_size": 5, "solution_length": (1, 1), "num_distractors": (0, 0)}),
    (VIEWPORT, {"max_steps": 50}),
    (VIEWPORT, {"grid_size": 20, "solution_length": (3, 9), "num_distractors": (2, 6), "max_steps": 90}),
]


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_game_of_a_batch_is_the_scalar_game(env_id: str, options: dict[str, Any], fixed_actions: FixedActions) -> None:
    games, seed = 4, 11
    envs = vector(env_id, games, **options)
    singles: list[Any] = [gymnasium.make(env_id, **options).unwrapped for _ in range(games)]
    observations, _ = envs.reset(seed=seed)
    assert observations.shape[1:] == singles[0].observation_space.shape
    for game, env in enumerate(singles):
        np.testing.assert_array_equal(observations[game], env.reset(seed=seed + game)[0])
    ended = np.zeros(games, np.bool_)
    episodes = 0
    for action in fixed_actions(1500, games, 4):
        observations, rewards, terminated, truncated, _ = envs.step(action)
        for game, env in enumerate(singles):
            row = env.step(int(action[game])) if not ended[game] else (env.reset()[0], 0.0, False, False)
            assert np.array_equal(observations[game], row[0])
            assert (rewards[game], terminated[game], truncated[game]) == row[1:4]
        ended = terminated | truncated
        episodes += ended.sum()
    assert episodes > 20


def test_spaces() -> None:
    assert vector(FULL, 2).single_observation_space.shape == (14, 14, 3)
    assert vector(VIEWPORT, 2).single_observation_space.shape == (5, 5, 6)
    assert vector(FULL, 2, **VARIANTS[2][1]).single_observation_space.shape == (7, 7, 3)
    assert vector(VIEWPORT, 2).single_action_space.n == 4
    assert vector(FULL, 2).action_names == ("up", "down", "left", "right")


def test_viewport_is_the_crop_of_the_full_picture(fixed_actions: FixedActions) -> None:
    games = 8
    options = {"solution_length": (1, 5), "num_distractors": (0, 5)}
    full, view = vector(FULL, games, **options), vector(VIEWPORT, games)
    pictures, windows = full.reset(seed=6)[0], view.reset(seed=6)[0]
    edges = keys = corners = 0
    for action in fixed_actions(1500, games, 4):
        state = full.get_state()
        padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))
        for game, (row, column) in enumerate(zip(state["agent_row"], state["agent_column"], strict=True)):
            np.testing.assert_array_equal(windows[game, :, :, :3], padded[game, row - 1 : row + 4, column - 1 :][:, :5])
            assert (windows[game, :, :, 3:] == pictures[game, 0, 0]).all()
            edges += row in (1, 12) or column in (1, 12)
            keys += pictures[game, 0, 0].any()
            corners += pictures[game, 0, 0].any() and row <= 2 and column <= 2
        of_full, of_view = full.step(action), view.step(action)
        for a, b in zip(of_full[1:4], of_view[1:4], strict=True):
            np.testing.assert_array_equal(a, b)
        pictures, windows = of_full[0], of_view[0]
    assert min(edges, keys, corners) > 10


def test_viewport_has_the_ranges_of_its_paper() -> None:
    state = {}
    for env_id in (FULL, VIEWPORT):
        envs = vector(env_id, 2000)
        envs.reset(seed=0)
        state[env_id] = envs.get_state()
    boxes = {env_id: (arrays["board"] >= DISTRACTOR_LOCKS).sum(axis=(1, 2)) for env_id, arrays in state.items()}
    assert np.unique(state[FULL]["solution_length"]).tolist() == [1, 2, 3, 4]
    assert np.unique(state[VIEWPORT]["solution_length"]).tolist() == [1, 2, 3, 4, 5]
    assert np.unique(boxes[FULL]).tolist() == [0, 1, 2, 3, 4]
    assert np.unique(boxes[VIEWPORT]).tolist() == [0, 1, 2, 3, 4, 5]


def random_endings(episodes: int, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, whether the gem was taken, and whether a distractor was opened, of the first episode of each game."""
    envs = vector(FULL, episodes, copy=False, **options)
    envs.reset(seed=77)
    random = np.random.default_rng(5)
    returns, gem, wrong = np.zeros(episodes), np.zeros(episodes, np.bool_), np.zeros(episodes, np.bool_)
    playing = np.ones(episodes, np.bool_)
    while playing.any():
        _, rewards, terminated, truncated, _ = envs.step(random.integers(4, size=episodes))
        returns += rewards * playing
        gem |= terminated & playing & (rewards == 10)
        wrong |= terminated & playing & (rewards == -1)
        playing &= ~(terminated | truncated)
    return returns, gem, wrong


@pytest.mark.parametrize(
    ("options", "reference", "episodes"),
    [
        ({}, {"return": 0.090, "gem": 13, "distractor": 70}, 1500),
        (
            {"solution_length": (1, 5), "num_distractors": (0, 5)},
            {"return": 0.024, "gem": 3, "distractor": 78},
            1500,
        ),
        ({"solution_length": (1, 1), "num_distractors": (0, 0)}, {"gem": 24}, 1000),
    ],
)
def test_random_play_is_that_of_the_original_code(
    options: dict[str, Any], reference: dict[str, float], episodes: int
) -> None:
    """Within three standard errors of both samples together; the original's limit of 120 steps ends with step 121."""
    ours = 20_000
    returns, gem, wrong = random_endings(ours, max_steps=121, **options)
    size = 1 / ours + 1 / episodes
    if "return" in reference:
        assert abs(returns.mean() - reference["return"]) < 3 * returns.std() * np.sqrt(size)
    for name, ended in (("gem", gem), ("distractor", wrong)):
        if name in reference:
            share = (ended.sum() + reference[name]) / (ours + episodes)
            assert abs(ended.mean() - reference[name] / episodes) < 3 * np.sqrt(share * (1 - share) * size)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"grid_size": 4}, ValueError, r"grid_size must be in 5 \.\. 64, got 4"),
        ({"grid_size": 65}, ValueError, r"grid_size must be in 5 \.\. 64, got 65"),
        ({"grid_size": 12.0}, TypeError, r"grid_size must be an integer, got 12\.0"),
        ({"max_steps": 0}, ValueError, r"max_steps must be in 1 \.\. \d+, got 0"),
        ({"distractor_length": 0}, ValueError, r"distractor_length must be in 1 \.\. \d+, got 0"),
        ({"distractor_length": "2"}, TypeError, "distractor_length must be an integer, got '2'"),
        ({"solution_length": (0, 4)}, ValueError, r"solution_length must be two integers \(a, b\), 1 <= a <= b, got"),
        ({"solution_length": (4, 1)}, ValueError, r"solution_length .* 1 <= a <= b, got \(4, 1\)"),
        ({"solution_length": 4}, TypeError, r"solution_length must be two integers .*, got 4"),
        ({"solution_length": "14"}, TypeError, "solution_length must be two integers .*, got '14'"),
        ({"solution_length": (1, 2, 3)}, TypeError, "solution_length must be two integers"),
        ({"solution_length": (1.0, 2)}, TypeError, r"solution_length must be two integers .*, got \(1\.0, 2\)"),
        ({"solution_length": np.array(3)}, TypeError, "solution_length must be two integers"),
        ({"solution_length": None}, TypeError, "solution_length must be two integers .*, got None"),
        ({"num_distractors": (-1, 2)}, ValueError, r"num_distractors .* 0 <= a <= b, got \(-1, 2\)"),
        ({"num_distractors": (True, 2)}, TypeError, "num_distractors must be two integers"),
        ({"num_backward_distractors": (2, 1)}, ValueError, r"num_backward_distractors .* 0 <= a <= b, got \(2, 1\)"),
        (
            {"solution_length": (1, 21), "num_distractors": (0, 0), "grid_size": 30},
            ValueError,
            r"solution_length must be in 1 \.\. 20 .* 20 colours, got \(1, 21\)",
        ),
        (
            {"solution_length": (1, 19), "num_distractors": (0, 1), "grid_size": 30},
            ValueError,
            r"solution_length must be in 1 \.\. 18 with these distractors",
        ),
        (
            {"solution_length": (1, 19), "num_distractors": (0, 0), "num_backward_distractors": (0, 1)},
            ValueError,
            r"solution_length must be in 1 \.\. 18 with these distractors",
        ),
        (
            {"solution_length": (1, 18), "num_distractors": (0, 1), "distractor_length": 2, "grid_size": 30},
            ValueError,
            r"solution_length must be in 1 \.\. 17 with these distractors",
        ),
        (
            {"solution_length": (1, 15), "num_distractors": (0, 0)},
            ValueError,
            "solution_length up to 15, .* make 16 objects with the loose key, but grid_size 12 has room for 15 at most",
        ),
        (
            {"num_distractors": (0, 4), "distractor_length": 3},
            ValueError,
            "num_distractors up to 4 of distractor_length 3 .* make 17 objects",
        ),
        ({"num_backward_distractors": (0, 9)}, ValueError, "num_backward_distractors up to 9 make 18 objects"),
        ({"grid_size": 5}, ValueError, "grid_size 5 has room for 2 at most"),
        (
            {"grid_size": 20, "solution_length": (18, 18), "num_distractors": (30, 30)},
            ValueError,
            "make 49 objects .*; grid_size 20 has room for 54, but only if packed closely: none of 200 random levels",
        ),
    ],
)
@pytest.mark.parametrize("env_id", [FULL, VIEWPORT])
def test_wrong_options(env_id: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    if env_id == VIEWPORT:
        options = {"solution_length": (1, 4), "num_distractors": (0, 4)} | options
    with pytest.raises(error, match=words):
        vector(env_id, 2, **options)
    with pytest.raises(error, match=words):
        gymnasium.make(env_id, **options)


@pytest.mark.parametrize("value", [(1, 3), [1, 3], np.array([1, 3]), (np.int8(1), np.int64(3))])
def test_ranges_of_any_sequence_of_integers(value: Any) -> None:
    expected = vector(FULL, 50, solution_length=(1, 3)).reset(seed=0)[0]
    np.testing.assert_array_equal(vector(FULL, 50, solution_length=value).reset(seed=0)[0], expected)


@pytest.mark.parametrize(
    "options",
    [
        {"solution_length": (14, 14), "num_distractors": (0, 0)},
        {"solution_length": (18, 18), "num_distractors": (1, 1), "grid_size": 20},
        {"solution_length": (17, 17), "num_distractors": (1, 1), "distractor_length": 4, "grid_size": 20},
        {"solution_length": (20, 20), "num_distractors": (0, 0), "distractor_length": 4, "grid_size": 20},
    ],
)
def test_the_largest_settings(options: dict[str, Any]) -> None:
    envs = vector(FULL, 20, **options)
    envs.reset(seed=0)
    board = envs.get_state()["board"]
    length = options["solution_length"][0]
    assert (((board >= LOCKS) & (board < DISTRACTOR_LOCKS)).sum(axis=(1, 2)) == length).all()
    distractors = options["num_distractors"][0] * options.get("distractor_length", 1)
    assert ((board >= DISTRACTOR_LOCKS).sum(axis=(1, 2)) == distractors).all()


def played() -> tuple[Any, dict[str, np.ndarray]]:
    """Two games some steps after their start, and their state."""
    envs = vector(VIEWPORT, 2)
    envs.reset(seed=0)
    for action in range(4):
        envs.step([action, action])
    return envs, envs.get_state()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agent_row", 0),
        ("agent_row", 13),
        ("agent_row", -1),
        ("agent_row", 999),
        ("agent_column", 0),
        ("agent_column", -5),
        ("agent_column", 14),
        ("heading", 4),
        ("heading", -1),
        ("held", -2),
        ("held", 20),
        ("solution_length", 0),
        ("solution_length", 21),
        ("frame", -1),
        ("frame", 121),
        ("score", -2),
        ("score", 16),
        ("board", WALL),
        ("board", KEYS),
        ("board", 255),
    ],
)
def test_states_no_game_can_have_are_refused(field: str, value: int) -> None:
    envs, state = played()
    before = {name: array.copy() for name, array in state.items()}
    state[field][1] = value
    with pytest.raises(ValueError, match=f"in .*{field}"):
        envs.set_state(state)
    assert all(np.array_equal(array, before[name]) for name, array in envs.get_state().items())


@pytest.mark.parametrize("thing", ["gem", "lock"])
def test_an_agent_on_a_thing_is_refused(thing: str) -> None:
    envs, state = played()
    board = state["board"][0]
    ((row, column),) = np.argwhere(board == GEM)
    state["agent_row"][0], state["agent_column"][0] = row, column + (thing == "lock")
    with pytest.raises(ValueError, match="in agent_row, agent_column"):
        envs.set_state(state)


def test_a_level_without_its_gem_is_refused_until_its_boxes_are_open() -> None:
    envs, state = played()
    board = state["board"][0]
    board[board == GEM] = KEYS
    with pytest.raises(ValueError, match="in board"):
        envs.set_state(state)
    board[1:-1, 1:-1] = 0
    envs.set_state(state)


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_restored_games_go_on_exactly(env_id: str, options: dict[str, Any], fixed_actions: FixedActions) -> None:
    envs = vector(env_id, 6, **options)
    envs.reset(seed=4)
    actions = fixed_actions(400, 6, 4)
    for action in actions[:77]:
        envs.step(action)
    state = envs.get_state()
    expected = [envs.step(action)[:4] for action in actions[77:]]
    fresh = vector(env_id, 6, **options)
    fresh.set_state(state)
    for action, rows in zip(actions[77:], expected, strict=True):
        for array, other in zip(fresh.step(action), rows, strict=False):
            np.testing.assert_array_equal(array, other)
