from __future__ import annotations

from dataclasses import replace

import numpy as np

from rmc_rl.impala.rollout import join, split
from tests.rmc_rl.impala.test_actor import make_actor


def test_join_puts_games_side_by_side() -> None:
    first, second = make_actor(core="lstm").unroll(), make_actor(core="lstm", lengths=[4, 5]).unroll()
    second = replace(second, weights_version=-3)
    joined = join([first, second])
    np.testing.assert_array_equal(joined.observation[:, :3], first.observation)
    np.testing.assert_array_equal(joined.observation[:, 3:], second.observation)
    np.testing.assert_array_equal(joined.reward[:, 3:], second.reward)
    assert all(leaf.shape[0] == 5 for leaf in joined.core_state)
    np.testing.assert_array_equal(joined.core_state[0][3:], second.core_state[0])
    assert len(joined.episode_return) == len(first.episode_return) + len(second.episode_return)
    assert joined.weights_version == -3


def test_one_rollout_is_not_copied() -> None:
    rollout = make_actor().unroll()
    assert join([rollout]) is rollout
    assert split(rollout, 3) == [rollout]


def test_parts_joined_are_the_rollout() -> None:
    rollout = make_actor(core="lstm").unroll()
    first, second = split(rollout, 2)
    assert (first.reset.shape[1], second.reset.shape[1]) == (1, 2)
    joined = join([first, second])
    for name in ("observation", "reset", "last_action", "last_reward", "action", "behaviour_log_prob"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(rollout, name))
    for own, whole in zip(joined.core_state, rollout.core_state, strict=True):
        np.testing.assert_array_equal(own, whole)
