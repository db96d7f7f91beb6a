"""What is known at one moment of an episode, and the course of the episode so far.

A `Step` is the moment of a decision: what led here (the reward), what the agent sees, what it makes of it, and what it
does. The last one of an episode is the moment after its last action: there is no action any more. Nothing in it depends
on how it is shown or kept.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rmc_agents.tree import leaves

EPISODE_END_SECONDS = 1.5
"""So long the last step of an episode stays in sight, in the window and in recordings."""


@dataclass(frozen=True, eq=False)
class MemoryPart:
    """One matrix of the agent's memory.

    Attributes:
        name: what it is.
        values: float32 [rows, columns], for the relational memory [N slots, F].
    """

    name: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Step:
    """One moment of an episode.

    Attributes:
        episode: which one, from 0.
        seed: the seed it was started from.
        number: t, the actions taken before.
        board: the environment's picture for people, uint8 [height, width, 3]; None where it draws none.
        observation: what the agent sees, an array or a tree of them.
        probabilities: [A], of each of the discrete actions; elsewhere one number for each component of the action: how
            likely its choice was, or where between its bounds it lies.
        value: the agent's estimate of the discounted return from here.
        memory: the agent's memory after it has seen the observation.
        action: what it does: a number where actions are discrete, else one for each component; None where the episode
            is over.
        reward: of the action before; 0 at the start.
        episode_return: the sum of the rewards so far, undiscounted.
        ending: why the episode is over: ``terminated``, ``truncated`` (by the environment) or ``cut short`` (by
            ``max_steps``); None while it goes on.
    """

    episode: int
    seed: int
    number: int
    board: np.ndarray | None
    observation: Any
    probabilities: np.ndarray
    value: float
    memory: tuple[MemoryPart, ...]
    action: int | tuple[float, ...] | None
    reward: float
    episode_return: float
    ending: str | None


@dataclass
class Timeline:
    """The course of one episode in numbers; a step of another episode begins it anew.

    Attributes:
        values: the value estimate at each step.
        rewards: the reward that led to each step.
        memory_limits: a scale for each part of the memory, by name, that holds still: the largest so far of the
            magnitude that 2 % of its numbers exceed (single units may be many times as large as the rest).
    """

    values: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    memory_limits: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, step: Step) -> None:
        """Take in the next step."""
        if step.number == 0:
            self.values.clear()
            self.rewards.clear()
            self.memory_limits.clear()
        self.values.append(step.value)
        self.rewards.append(step.reward)
        for part in step.memory:
            limit = float(np.quantile(np.abs(part.values), 0.98))
            self.memory_limits[part.name] = max(self.memory_limits[part.name], limit)


def memory_parts(core_state: Any, names: tuple[str, ...] = ()) -> tuple[MemoryPart, ...]:
    """The memory of item 0 as matrices: one for every tensor of numbers in a core's state.

    Args:
        core_state: a tree of tensors [B, …]; [B, F] becomes one row, and more than two axes are joined into rows.
            Tensors of no real numbers (counters, masks) are left out.
        names: of the tree's leaves in order; without them ``memory``, or ``memory 1``, ``memory 2``, …
    """
    tensors = leaves(core_state)
    if len(names) != len(tensors):
        names = ("memory",) if len(tensors) == 1 else tuple(f"memory {i + 1}" for i in range(len(tensors)))
    parts = []
    for name, tensor in zip(names, tensors, strict=True):
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.dim() > 1 and tensor.numel() > 0:
            values = tensor[0].float().numpy()
            parts.append(MemoryPart(name, values.reshape(-1, values.shape[-1]).copy()))
    return tuple(parts)
