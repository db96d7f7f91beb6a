"""Acting: from one row of B games to their actions, as the agent's operations come or recorded and replayed at once."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from rmc_agents.agent import Agent
from rmc_agents.core import State
from rmc_agents.fast.recorded import Record
from rmc_agents.tree import leaves, map_tree

Row = tuple[Any, Tensor, Tensor, Tensor]
"""What the agent sees of each game: observation (a tree of [1, B, …]), last action, last reward, reset [1, B]."""


class Acting:
    """Samples actions for always the same number of games.

    Args:
        agent: acts as it is at each call; what it computes must depend on tensors alone where it is recorded.
        generator: of the samples, on the agent's device.
        record: records torso, memory, heads and sampling as one, at the first call; None: nothing is recorded. What
            cannot be recorded is computed as it comes, and that is said: a core that has the CPU wait for the GPU.
    """

    def __init__(self, agent: Agent, generator: torch.Generator, record: Record | None = None) -> None:
        self.agent = agent
        self.generator = generator
        self._record = record
        self._recorded: _Recorded | None = None

    def __call__(self, row: Row, core_state: State) -> tuple[Tensor, Tensor, State]:
        """Actions [B, …], their log-probabilities [B] and the memory after; to be read before the next call."""
        if self._record is not None and self._recorded is None:
            try:
                self._recorded = _Recorded(self.agent, row, core_state, self._record)
            except RuntimeError as error:  # CUDA's errors, out of memory among them
                self._record = None
                warnings.warn(f"acting is not recorded as a CUDA graph: {error}", stacklevel=2)
        if self._recorded is not None:
            return self._recorded(row, core_state, self.generator)
        output, core_state = self.agent(*row, core_state)
        policy, actions = output.policy[0], self.agent.actions
        action = actions.sample(policy, self.generator)
        return action, actions.log_prob(policy, action), core_state


class _Recorded:
    """Acting recorded over tensors of its own, the memory among them, which each replay moves on.

    Random numbers are drawn outside, into one of these tensors: the stream is that of acting unrecorded.
    """

    def __init__(self, agent: Agent, row: Row, core_state: State, record: Record) -> None:
        self._row = map_tree(torch.zeros_like, row)
        self._core_state = map_tree(torch.clone, core_state)
        parameter = next(agent.parameters())
        dtype = torch.promote_types(parameter.dtype, torch.float32)  # of which the sampled numbers are
        self._noise = torch.ones(row[-1].shape[1], agent.actions.num_random, dtype=dtype, device=parameter.device)
        self._actions = agent.actions
        kept = {leaf.untyped_storage().data_ptr() for leaf in leaves(self._core_state)}

        def work() -> list[Tensor]:
            output, core_state = agent(*self._row, self._core_state)
            policy = output.policy[0]
            action = agent.actions.choose(policy, self._noise)
            # A memory may hold parts of the one before, in other places.
            core_state = map_tree(lambda x: x.clone() if x.untyped_storage().data_ptr() in kept else x, core_state)
            map_tree(Tensor.copy_, self._core_state, core_state)
            return [action, agent.actions.log_prob(policy, action)]

        self._replay, (self._action, self._log_prob) = record(work)

    def __call__(self, row: Row, core_state: State, generator: torch.Generator) -> tuple[Tensor, Tensor, State]:
        map_tree(Tensor.copy_, self._row, row)
        if core_state is not self._core_state:
            map_tree(Tensor.copy_, self._core_state, core_state)
        self._actions.draw_(self._noise, generator)
        self._replay()
        return self._action, self._log_prob, self._core_state
