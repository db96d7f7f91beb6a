"""What is known at one moment of an episode, and the course of the episode so far.

A `Step` is the moment of a decision: what led here (the reward), what the agent sees, what it makes of it, and what is
done. The last one of an episode is the moment after its last action: there is no action any more. Nothing in it depends
on how it is shown or kept.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rmc_agents import Trace
from rmc_agents.tree import leaves

EPISODE_END_SECONDS = 1.5
"""So long the last step of an episode stays in sight, in the window and in recordings."""


@dataclass(frozen=True, eq=False)
class MemoryPart:
    """One matrix of the agent's memory, or a gate's values in the same rows.

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
        entropy: of the policy, in nats; that of continuous actions may be negative.
        value: the agent's estimate of the discounted return from here.
        memory: the agent's memory after it has seen the observation.
        action: what is done: a number where actions are discrete, else one for each component; None where the episode
            is over.
        reward: of the action before; 0 at the start.
        episode_return: the sum of the rewards so far, undiscounted.
        ending: why the episode is over: ``terminated``, ``truncated`` (by the environment) or ``cut short`` (by
            ``max_steps``); None while it goes on.
        attention: float32 [blocks, heads, rows, rows + inputs]: how much each row of the memory, to become what
            `memory` shows, read from each row before and from the input; None where the core does not attend.
        gates: how much entered the memory, stayed, and left it, in 0 .. 1; empty where the core tells of none.
        by_person: whether a person chose the action.
    """

    episode: int
    seed: int
    number: int
    board: np.ndarray | None
    observation: Any
    probabilities: np.ndarray
    entropy: float
    value: float
    memory: tuple[MemoryPart, ...]
    action: int | tuple[float, ...] | None
    reward: float
    episode_return: float
    ending: str | None
    attention: np.ndarray | None = None
    gates: tuple[MemoryPart, ...] = ()
    by_person: bool = False


class Timeline:
    """The course of one episode in numbers; a step of another episode begins it anew.

    Attributes:
        memory_limits: a scale for each part of the memory, by name, that holds still: the largest so far of the
            magnitude that 2 % of its numbers exceed (single units may be many times as large as the rest).
    """

    _VALUE, _REWARD, _ENTROPY, _ACTION, _BY_PERSON, _FACTS = range(6)

    def __init__(self) -> None:
        self.memory_limits: dict[str, float] = defaultdict(float)
        self._rows = np.empty((0, self._FACTS))  # one a step, with room for more; the probabilities follow the facts
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> np.ndarray:
        """The value estimate at each step."""
        return self._rows[: self._length, self._VALUE]

    @property
    def rewards(self) -> np.ndarray:
        """The reward that led to each step."""
        return self._rows[: self._length, self._REWARD]

    @property
    def entropies(self) -> np.ndarray:
        """The policy's entropy at each step."""
        return self._rows[: self._length, self._ENTROPY]

    @property
    def probabilities(self) -> np.ndarray:
        """[T, A], what `Step.probabilities` tells."""
        return self._rows[: self._length, self._FACTS :]

    @property
    def actions(self) -> np.ndarray:
        """The discrete action at each step, -1 where there is none."""
        return self._rows[: self._length, self._ACTION].astype(int)

    @property
    def by_person(self) -> np.ndarray:
        """Whether a person chose it."""
        return self._rows[: self._length, self._BY_PERSON] > 0

    def add(self, step: Step) -> None:
        """Take in the next step."""
        if step.number == 0 or not len(self):
            self.memory_limits.clear()
            self._rows = np.empty((64, self._FACTS + len(step.probabilities)))
            self._length = 0
        if self._length == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._length += 1
        self.amend(step)
        for part in step.memory:
            limit = float(np.quantile(np.abs(part.values), 0.98))
            self.memory_limits[part.name] = max(self.memory_limits[part.name], limit)

    def amend(self, step: Step) -> None:
        """The latest step is this one."""
        action = step.action if isinstance(step.action, int) else -1
        facts = (step.value, step.reward, step.entropy, action, step.by_person)
        self._rows[self._length - 1] = (*facts, *step.probabilities)


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


def gate_parts(trace: Trace) -> tuple[MemoryPart, ...]:
    """The gates of item 0 in the last step of a trace, [rows, 1] or [rows, columns] each."""
    gates = {
        "input gate": trace.input_gate,
        "forget gate": trace.forget_gate,
        "output gate": trace.output_gate,
        "reset gate": trace.reset_gate,
    }
    return tuple(MemoryPart(name, gate[-1, 0].float().numpy()) for name, gate in gates.items() if gate is not None)
