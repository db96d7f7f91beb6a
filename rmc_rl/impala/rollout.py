"""The data contract: what an actor hands to the learner.

One `Rollout` is T steps of B environments, time-major. Row t of the [T+1, B] fields is what the agent saw when it chose
action t; row T is row 0 of the next rollout. Nothing is shifted or dropped: ``reward[t]`` follows ``action[t]``.

Under Gymnasium's next-step autoreset the final observation of an episode is an ordinary row; the step after it ignores
its action and brings the first observation of the next episode, which is the row where ``reset`` is true. So
``valid = ~reset[1:]`` tells the transitions that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from rmc_agents.tree import map_tree


@dataclass(frozen=True)
class Rollout:
    """T steps of B environments.

    Arrays, or where actor and learner share a device tensors there, but for what is counted of episodes.

    Attributes:
        observation: tree of [T+1, B, …].
        reset: [T+1, B] bool; the memory is set to its initial state before row t is processed.
        last_action: [T+1, B, …], int64 or float32; the action that led to row t, 0 and without meaning where ``reset``.
        last_reward: [T+1, B] float32, unscaled; 0 where ``reset``.
        action: [T, B, …], as the agent knows them (`rmc_agents.actions`).
        reward: [T, B] float32, of action t.
        terminated: [T, B] bool, of action t. A truncated episode is not terminated: its last value is bootstrapped.
        behaviour_log_prob: [T, B] float32, of the action taken, under the numbers it was sampled from.
        core_state: tree of [B, …]; the memory before row 0.
        weights_version: learner updates behind the weights that acted.
        episode_return: [E] float64, undiscounted returns of the episodes that ended in these steps.
        episode_length: [E] int64, their lengths in steps.
        env_failures: how often the environment raised in these steps; each time all its games started new episodes.
    """

    observation: Any
    reset: np.ndarray
    last_action: np.ndarray
    last_reward: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    behaviour_log_prob: np.ndarray
    core_state: Any
    weights_version: int
    episode_return: np.ndarray
    episode_length: np.ndarray
    env_failures: int = 0

    @property
    def valid(self) -> np.ndarray:
        """[T, B] bool: the transitions that are steps of an episode (not the step that only resets)."""
        return ~self.reset[1:]


def join(rollouts: Sequence[Rollout]) -> Rollout:
    """Several rollouts side by side along the batch axis; one alone is returned as it is, without a copy.

    ``weights_version`` of the result is the oldest.
    """
    if len(rollouts) == 1:
        return rollouts[0]
    without_time = {"core_state", "episode_return", "episode_length"}

    def concatenate(name: str) -> Any:
        axis = 0 if name in without_time else 1
        parts = (getattr(rollout, name) for rollout in rollouts)
        return map_tree(lambda *leaves: _concatenate(leaves, axis), *parts)

    numbers = {"weights_version", "env_failures"}
    joined = {item.name: concatenate(item.name) for item in fields(Rollout) if item.name not in numbers}
    return Rollout(
        **joined,
        weights_version=min(rollout.weights_version for rollout in rollouts),
        env_failures=sum(rollout.env_failures for rollout in rollouts),
    )


def _concatenate(leaves: tuple[Any, ...], axis: int) -> Any:
    return torch.cat(leaves, axis) if isinstance(leaves[0], torch.Tensor) else np.concatenate(leaves, axis=axis)


_ROWS = ("observation", "reset", "last_action", "last_reward", "action", "reward", "terminated", "behaviour_log_prob")


def split(rollout: Rollout, games: int) -> list[Rollout]:
    """The rollout in parts of equal size, but for rounding, each of at most so many games side by side.

    What is counted of episodes stays with the whole.
    """
    total = rollout.reset.shape[1]
    count = -(-total // games)
    if count == 1:
        return [rollout]
    bounds = [number * total // count for number in range(count + 1)]
    parts = []
    for start, stop in pairwise(bounds):
        own = slice(start, stop)
        parts.append(
            replace(
                rollout,
                **{name: map_tree(lambda x, own=own: x[:, own], getattr(rollout, name)) for name in _ROWS},
                core_state=map_tree(lambda x, own=own: x[own], rollout.core_state),
            )
        )
    return parts
