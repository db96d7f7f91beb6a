"""The scalar and the vector face of every game: equal to each other, strict with what they are given."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rmc_envs
from rmc_envs.minipacman import TASKS

IDS = list(rmc_envs.ENVIRONMENTS)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *[("rmc/MiniPacman-v0", {"task": task, "max_steps": 300}) for task in TASKS],
    *[("rmc/MiniPacmanViewport-v0", {"task": task, "max_steps": 300}) for task in TASKS],
    ("rmc/MiniPacmanViewport-v0", {"task": "hunt", "time_limit": 80, "outside": "empty"}),
    ("rmc/MiniPacman-v0", {"observation": "planes", "level": 5, "fast_pacman": True, "max_steps": 300}),
    ("rmc/MiniPacmanViewport-v0", {"observation": "planes", "fast_pacman": True, "max_steps": 300}),
    ("rmc/BoxWorld-v0", {}),
    ("rmc/BoxWorldViewport-v0", {}),
    ("rmc/RepeatFirst-v0", {}),
    ("rmc/RepeatFirst-v0", {"num_symbols": 7, "length": 3}),
]
FixedActions = Callable[[int, int, int], np.ndarray]


def scalar(env_id: str, **options: Any) -> Any:
    return gymnasium.make(env_id, **options).unwrapped


def vector(env_id: str, num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(env_id, num_envs=num_envs, **options)


def step_as_vector(env: Any, ended: bool, action: int) -> tuple[np.ndarray, float, bool, bool]:
    """A scalar step under next-step autoreset."""
    if ended:
        return env.reset()[0], 0.0, False, False
    return env.step(action)[:4]


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_game_of_a_batch_is_the_scalar_game(env_id: str, options: dict[str, Any], fixed_actions: FixedActions) -> None:
    games, steps, seed = 4, 3000, 90
    envs = vector(env_id, games, **options)
    singles = [scalar(env_id, **options) for _ in range(games)]
    actions = fixed_actions(steps, games, envs.single_action_space.n)
    observations, _ = envs.reset(seed=seed)
    for game, env in enumerate(singles):
        np.testing.assert_array_equal(observations[game], env.reset(seed=seed + game)[0])
    ended = np.zeros(games, np.bool_)
    episodes = 0
    for action in actions:
        observations, rewards, terminated, truncated, _ = envs.step(action)
        for game, env in enumerate(singles):
            expected = step_as_vector(env, bool(ended[game]), int(action[game]))
            assert np.array_equal(observations[game], expected[0])
            assert (rewards[game], terminated[game], truncated[game]) == expected[1:]
        ended = terminated | truncated
        episodes += ended.sum()
    assert episodes >= games


@pytest.mark.parametrize("env_id", IDS)
def test_game_does_not_depend_on_its_batch(env_id: str, fixed_actions: FixedActions) -> None:
    large, small = vector(env_id, 5), vector(env_id, 2)
    actions = fixed_actions(500, 5, large.single_action_space.n)
    large.reset(seed=[3, 1, 4, 1, 5])
    small.reset(seed=[4, 5])
    for action in actions:
        of_large, of_small = large.step(action), small.step(action[[2, 4]])
        for a, b in zip(of_large[:4], of_small[:4], strict=True):
            np.testing.assert_array_equal(a[[2, 4]], b)


@pytest.mark.parametrize("env_id", IDS)
def test_autoreset_on_the_next_step(env_id: str, fixed_actions: FixedActions) -> None:
    envs = vector(env_id, 8)
    actions = fixed_actions(400, 8, envs.single_action_space.n)
    envs.reset(seed=0)
    ended = np.zeros(8, np.bool_)
    seen = 0
    for action in actions:
        before = envs.get_state()
        _, rewards, terminated, truncated, _ = envs.step(action)
        after = envs.get_state()
        assert (after["frame"][ended] == 0).all()
        assert (after["frame"][~ended] == before["frame"][~ended] + 1).all()
        assert (rewards[ended] == 0).all()
        assert not (terminated | truncated)[ended].any()
        ended = terminated | truncated
        np.testing.assert_array_equal(after["needs_reset"], ended)
        seen += ended.sum()
    assert seen > 0


def gymnasiums_own(env_id: str, games: int, mode: AutoresetMode, **options: Any) -> Any:
    """Gymnasium's vector environment of scalar games: what the native one must be like."""
    return SyncVectorEnv([lambda: scalar(env_id, **options) for _ in range(games)], autoreset_mode=mode)


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_autoreset_in_the_same_step(env_id: str, options: dict[str, Any], fixed_actions: FixedActions) -> None:
    games = 4
    own = vector(env_id, games, autoreset_mode="SameStep", **options)
    other = gymnasiums_own(env_id, games, AutoresetMode.SAME_STEP, **options)
    assert own.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    np.testing.assert_array_equal(own.reset(seed=7)[0], other.reset(seed=7)[0])
    episodes = 0
    for action in fixed_actions(1000, games, own.single_action_space.n):
        (*rows, info), (*other_rows, other_info) = own.step(action), other.step(action)
        for row, other_row in zip(rows, other_rows, strict=True):
            np.testing.assert_array_equal(row, other_row)
        assert info.keys() == other_info.keys()
        if info:
            np.testing.assert_array_equal(info["_final_obs"], other_info["_final_obs"])
            np.testing.assert_array_equal(info["_final_info"], other_info["_final_info"])
            assert info["final_info"] == other_info["final_info"]
            for final, other_final in zip(info["final_obs"], other_info["final_obs"], strict=True):
                np.testing.assert_array_equal(final, other_final)
            episodes += info["_final_obs"].sum()
    assert episodes >= games


@pytest.mark.parametrize("env_id", IDS)
def test_final_observations_are_the_callers_own(env_id: str, fixed_actions: FixedActions) -> None:
    envs = vector(env_id, 8, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)
    envs.reset(seed=0)
    for action in fixed_actions(400, 8, envs.single_action_space.n):
        observations, *_, info = envs.step(action)
        if info:
            game = int(np.flatnonzero(info["_final_obs"])[0])
            assert not np.shares_memory(info["final_obs"][game], observations)
            return
    pytest.fail("no episode ended")


@pytest.mark.parametrize("env_id", IDS)
def test_autoreset_disabled(env_id: str, fixed_actions: FixedActions) -> None:
    games = 4
    own = vector(env_id, games, autoreset_mode=AutoresetMode.DISABLED)
    other = gymnasiums_own(env_id, games, AutoresetMode.DISABLED)
    own.reset(seed=7)
    other.reset(seed=7)
    episodes = 0
    for action in fixed_actions(1000, games, own.single_action_space.n):
        (*rows, info), (*other_rows, _) = own.step(action), other.step(action)
        assert info == {}
        for row, other_row in zip(rows, other_rows, strict=True):
            np.testing.assert_array_equal(row, other_row)
        ended = rows[2] | rows[3]
        if ended.any():
            before = own.get_state()
            with pytest.raises(ResetNeeded, match=rf"games {np.flatnonzero(ended)[0]}.*reset_mask"):
                own.step(action)
            assert all(np.array_equal(before[name], array) for name, array in own.get_state().items())
            observations, _ = own.reset(options={"reset_mask": ended})
            np.testing.assert_array_equal(observations, other.reset(options={"reset_mask": ended})[0])
            episodes += ended.sum()
    assert episodes >= games


def test_unknown_autoreset_modes() -> None:
    with pytest.raises(ValueError, match=r"autoreset_mode.*SameStep.*'sometimes'"):
        vector("rmc/RepeatFirst-v0", 3, autoreset_mode="sometimes")


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("num_threads", [2, 3, 16])
def test_threads_change_nothing(env_id: str, num_threads: int, fixed_actions: FixedActions) -> None:
    games = 11
    one, many = vector(env_id, games), vector(env_id, games, num_threads=num_threads)
    actions = fixed_actions(300, games, one.single_action_space.n)
    np.testing.assert_array_equal(one.reset(seed=3)[0], many.reset(seed=3)[0])
    for action in actions:
        for row, other in zip(one.step(action)[:4], many.step(action)[:4], strict=True):
            np.testing.assert_array_equal(row, other)
    with pytest.raises(ValueError, match="num_threads"):
        vector(env_id, games, num_threads=0)


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    envs = vector("rmc/RepeatFirst-v0", 8, num_threads=2)
    envs.reset(seed=0)
    envs.step(np.zeros(8, int))
    workers = set(threading.enumerate()) - before
    assert len(workers) > 0
    envs.close()
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_threads_after_a_fork() -> None:
    """In an interpreter of its own: pytest's may hold threads that a fork should not meet."""
    code = """
import os, signal
import gymnasium, numpy as np, rmc_envs
envs = gymnasium.make_vec("rmc/RepeatFirst-v0", num_envs=8, num_threads=2)
envs.reset(seed=0)
envs.step(np.zeros(8, int))
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends a child that waits for threads it does not have
    rewards = envs.step(np.zeros(8, int))[1]
    envs.close()
    os._exit(0 if rewards.shape == (8,) else 1)
assert os.waitpid(child, 0)[1] == 0
envs.step(np.zeros(8, int))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def copies(env: Any) -> list[Any]:
    return [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]


@pytest.mark.parametrize("env_id", IDS)
def test_copies_and_pickles_go_on_alike(env_id: str, fixed_actions: FixedActions, headless_window: None) -> None:
    envs = vector(env_id, 3, num_threads=2)
    env = gymnasium.make(env_id, render_mode="human")
    env.unwrapped.metadata = env.unwrapped.metadata | {"render_fps": 1000}
    actions = fixed_actions(200, 3, envs.single_action_space.n)
    envs.reset(seed=5)
    env.reset(seed=5)
    envs.step(actions[0])
    env.step(int(actions[0, 0]))
    twins, scalar_twins = copies(envs), copies(env)
    ended = False
    for action in actions[1:]:
        rows = envs.step(action)[:4]
        for twin in twins:
            for row, other in zip(rows, twin.step(action)[:4], strict=True):
                np.testing.assert_array_equal(row, other)
        row = env.reset()[:1] if ended else env.step(int(action[0]))[:4]
        for twin in scalar_twins:
            twin_row = twin.reset()[:1] if ended else twin.step(int(action[0]))[:4]
            for one, other in zip(row, twin_row, strict=True):
                np.testing.assert_array_equal(one, other)
        ended = not ended and bool(row[2] or row[3])
    for each in (env, *scalar_twins):
        each.close()


@pytest.mark.parametrize("env_id", IDS)
def test_the_action_of_a_resetting_step_is_ignored(env_id: str, fixed_actions: FixedActions) -> None:
    envs = vector(env_id, 8)
    actions = fixed_actions(400, 8, envs.single_action_space.n)
    envs.reset(seed=0)
    for action in actions:
        _, _, terminated, truncated, _ = envs.step(action)
        if (terminated | truncated).any():
            break
    game = int(np.flatnonzero(terminated | truncated)[0])
    state = envs.get_state()
    rows = []
    for own_action in range(envs.single_action_space.n):
        envs.set_state(state)
        chosen = np.zeros(8, np.int64)
        chosen[game] = own_action
        rows.append(envs.step(chosen)[0][game])
    assert all(np.array_equal(row, rows[0]) for row in rows)


@pytest.mark.parametrize("env_id", IDS)
def test_scalar_step_is_refused_before_reset_and_after_the_end(env_id: str) -> None:
    env = scalar(env_id, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match="first"):
        env.step(0)
    with pytest.raises(ResetNeeded, match="first"):
        env.render()
    env.reset(seed=0)
    for _ in range(5000):
        _, _, terminated, truncated, _ = env.step(1)
        if terminated or truncated:
            break
    with pytest.raises(ResetNeeded, match="has ended"):
        env.step(0)
    env.reset()
    env.step(0)


@pytest.mark.parametrize("env_id", IDS)
def test_vector_step_is_refused_before_every_game_was_reset(env_id: str) -> None:
    envs = vector(env_id, 2)
    with pytest.raises(ResetNeeded):
        envs.step([0, 0])
    envs.reset(seed=0, options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded):
        envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([False, True])})
    envs.step([0, 0])


@pytest.mark.parametrize("action", [-1, 99, 2**70])
def test_scalar_action_out_of_range(action: int) -> None:
    for env_id in IDS:
        env = scalar(env_id)
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"action must be in 0 \.\. \d, got"):
            env.step(action)


@pytest.mark.parametrize("action", [1.0, "1", None, np.array([1, 2])])
def test_scalar_action_that_is_no_integer(action: Any) -> None:
    env = scalar("rmc/RepeatFirst-v0")
    env.reset(seed=0)
    with pytest.raises(TypeError, match="action must be an integer"):
        env.step(action)


@pytest.mark.parametrize("action", [2, np.int8(2), np.uint64(2), np.array(2)])
def test_scalar_action_of_any_integer_type(action: Any) -> None:
    env = scalar("rmc/MiniPacman-v0")
    env.reset(seed=0)
    expected = env.step(2)[0]
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(action)[0], expected)


@pytest.mark.parametrize(
    ("actions", "error", "words"),
    [
        ([0, 1, 4], ValueError, r"action must be in 0 \.\. 3, got 4 for game 2"),
        ([0, -1, 0], ValueError, r"got -1 for game 1"),
        (np.array([0, 2**64 - 1, 0], np.uint64), ValueError, r"got 18446744073709551615 for game 1"),
        ([0, 1], ValueError, r"shape \(3,\)"),
        (1, ValueError, r"shape \(3,\)"),
        ([[0, 1, 2]], ValueError, r"shape \(3,\)"),
        ([0.0, 1.0, 2.0], TypeError, "integer dtype, got float64"),
        ([True, False, True], TypeError, "integer dtype, got bool"),
    ],
)
def test_wrong_batches_of_actions_change_nothing(actions: Any, error: type[Exception], words: str) -> None:
    envs = vector("rmc/RepeatFirst-v0", 3)
    envs.reset(seed=0)
    before = envs.get_state()
    with pytest.raises(error, match=words):
        envs.step(actions)
    after = envs.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        ([1, 2], ValueError),
        ([1, 2, -3], ValueError),
        (2**64 - 2, ValueError),
        (-1, ValueError),
        ([1, 2, "3"], TypeError),
        (True, TypeError),
        (1.0, TypeError),
        (np.array(1.0), TypeError),
    ],
)
def test_wrong_seeds_of_a_batch(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed must"):
        vector("rmc/RepeatFirst-v0", 3).reset(seed=seed)


@pytest.mark.parametrize(
    ("seed", "error"), [(2**64, ValueError), (-1, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_wrong_seeds_of_one_game(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed must"):
        scalar("rmc/RepeatFirst-v0").reset(seed=seed)


@pytest.mark.parametrize("number", [np.int64, np.uint8])
def test_numpy_seeds_are_plain_seeds(number: type[np.integer]) -> None:
    for env in (scalar("rmc/MiniPacman-v0"), vector("rmc/MiniPacman-v0", 3)):
        np.testing.assert_array_equal(env.reset(seed=number(7))[0], env.reset(seed=7)[0])


@pytest.mark.parametrize("env_id", IDS)
def test_seeds_repeat_and_differ(env_id: str, fixed_actions: FixedActions) -> None:
    def play(seed: int) -> list[bytes]:
        envs = vector(env_id, 2)
        rows = [envs.reset(seed=seed)[0]]
        rows += [envs.step(action)[0] for action in fixed_actions(30, 2, envs.single_action_space.n)]
        return [np.array(rows)[:, game].tobytes() for game in range(2)]

    first, again, other = play(7), play(7), play(11)
    assert first == again
    assert len({*first, *other}) == 4


@pytest.mark.parametrize("env_id", IDS)
def test_reset_without_seed_goes_on_with_the_stream(env_id: str) -> None:
    env = scalar(env_id)
    env.reset(seed=3)
    assert env.np_random_seed == 3
    streams = [env.get_state()["stream"].tobytes()]
    for _ in range(3):
        env.reset()
        streams.append(env.get_state()["stream"].tobytes())
    assert len(set(streams)) == 4
    env.reset(seed=3)
    assert env.get_state()["stream"].tobytes() == streams[0]


@pytest.mark.parametrize("env_id", IDS)
def test_first_reset_without_seed_draws_entropy(env_id: str) -> None:
    streams = [scalar(env_id), scalar(env_id)]
    for env in streams:
        env.reset()
    envs = vector(env_id, 2)
    envs.reset()
    rows = [env.get_state()["stream"][0].tobytes() for env in streams]
    rows += [row.tobytes() for row in envs.get_state()["stream"]]
    assert len(set(rows)) == 4


def test_np_random_set_by_hand_seeds_the_first_reset() -> None:
    streams = []
    for _ in range(2):
        env = scalar("rmc/MiniPacman-v0")
        env.np_random = np.random.default_rng(5)
        env.reset()
        streams.append(env.get_state()["stream"])
    np.testing.assert_array_equal(*streams)


def test_seed_list_with_none_leaves_that_stream_alone() -> None:
    envs = vector("rmc/RepeatFirst-v0", 3)
    envs.reset(seed=0)
    control = scalar("rmc/RepeatFirst-v0")
    control.reset(seed=1)
    envs.reset(seed=[8, None, 9])
    control.reset()
    np.testing.assert_array_equal(envs.get_state()["stream"][1], control.get_state()["stream"][0])


def test_reset_mask_resets_those_games_only() -> None:
    envs = vector("rmc/MiniPacman-v0", 3)
    envs.reset(seed=0)
    last = envs.step([1, 2, 3])[0]
    before = envs.get_state()
    observations, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    after = envs.get_state()
    assert after["frame"].tolist() == [1, 0, 1]
    for name in before:
        np.testing.assert_array_equal(before[name][[0, 2]], after[name][[0, 2]])
    np.testing.assert_array_equal(observations[[0, 2]], last[[0, 2]])
    assert not np.array_equal(observations[1], last[1])


@pytest.mark.parametrize("mask", [np.zeros(3, np.bool_), np.ones(2, np.bool_), np.ones(3)])
def test_wrong_reset_masks(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="reset_mask"):
        vector("rmc/RepeatFirst-v0", 3).reset(options={"reset_mask": mask})


def test_unknown_reset_options() -> None:
    with pytest.raises(ValueError, match="options"):
        scalar("rmc/RepeatFirst-v0").reset(options={"level": 3})
    with pytest.raises(ValueError, match="options"):
        vector("rmc/RepeatFirst-v0", 3).reset(options={"level": 3})
    for env in (scalar("rmc/RepeatFirst-v0"), vector("rmc/RepeatFirst-v0", 3)):
        with pytest.raises(TypeError, match="options must be a dictionary or None, got 5"):
            env.reset(options=5)


@pytest.mark.parametrize("env_id", IDS)
def test_copy_option(env_id: str) -> None:
    owned = vector(env_id, 2)
    lent = vector(env_id, 2, copy=False)
    for envs, same in ((owned, False), (lent, True)):
        first, _ = envs.reset(seed=0)
        second = envs.step([0, 0])
        third = envs.step([0, 0])
        assert np.shares_memory(first, second[0]) is same
        assert all(np.shares_memory(a, b) is same for a, b in zip(second[:4], third[:4], strict=True))
    env = scalar(env_id)
    first, _ = env.reset(seed=0)
    assert not np.shares_memory(first, env.step(0)[0])
    with pytest.raises(TypeError, match="copy must be True or False, got 'yes'"):
        vector(env_id, 2, copy="yes")


@pytest.mark.parametrize("num_envs", [0, -1, 2.0])
def test_wrong_number_of_games(num_envs: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="num_envs"):
        vector("rmc/RepeatFirst-v0", num_envs)


def test_unknown_render_modes() -> None:
    environment = type(scalar("rmc/RepeatFirst-v0"))
    with pytest.raises(ValueError, match=r"render_mode.*rgb_array.*'html'"):
        environment(render_mode="html")
    with pytest.raises(ValueError, match="render_mode"):
        vector("rmc/RepeatFirst-v0", 3, render_mode="human")


def test_unknown_options_are_named() -> None:
    with pytest.raises(TypeError, match="colour"):
        scalar("rmc/RepeatFirst-v0", colour=3)


@pytest.mark.parametrize("env_id", IDS)
def test_vector_render_is_every_games_frame(env_id: str) -> None:
    envs = vector(env_id, 3, render_mode="rgb_array")
    envs.reset(seed=20)
    frames = envs.render()
    assert isinstance(frames, tuple)
    for game, frame in enumerate(frames):
        env = scalar(env_id, render_mode="rgb_array")
        env.reset(seed=20 + game)
        np.testing.assert_array_equal(frame, env.render())


@pytest.mark.parametrize("env_id", IDS)
def test_text_tells_what_changes(env_id: str) -> None:
    env = scalar(env_id, render_mode="ansi")
    env.reset(seed=0)
    first = env.render()
    assert isinstance(first, str)
    assert len(first.splitlines()) >= 2
    env.step(0)
    assert env.render() != first
    envs = vector(env_id, 2, render_mode="ansi")
    envs.reset(seed=0)
    assert envs.render()[0] == first
    with pytest.raises(ValueError, match="rgb_array"):
        envs.render_tiled()


@pytest.mark.parametrize("env_id", IDS)
def test_tiled_picture_holds_every_frame(env_id: str) -> None:
    envs = vector(env_id, 5, render_mode="rgb_array")
    envs.reset(seed=0)
    picture = envs.render_tiled()
    frames = envs.render()
    height, width = frames[0].shape[:2]
    columns = (picture.shape[1] + 4) // (width + 4)
    for number, frame in enumerate(frames):
        top, left = number // columns * (height + 4), number % columns * (width + 4)
        np.testing.assert_array_equal(picture[top : top + height, left : left + width], frame)


def test_render_without_a_mode_warns() -> None:
    env = scalar("rmc/RepeatFirst-v0")
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None
    envs = vector("rmc/RepeatFirst-v0", 2)
    envs.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert envs.render() is None
    with pytest.warns(UserWarning, match="render_mode"):
        assert envs.render_tiled() is None


@pytest.mark.parametrize("env_id", IDS)
def test_human_mode_shows_every_step(env_id: str, headless_window: None) -> None:
    env = scalar(env_id, render_mode="human")
    env.metadata = env.metadata | {"render_fps": 1000}
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    env.close()
    env.close()
    env.reset(seed=0)
    env.close()
