"""The agent: torso, memory core, policy and value heads (wired as in IMPALA, Espeholt et al. 2018)::

    observation ─▶ torso ─┐
    last action ──────────┼─▶ core (the only part that loops over time) ─┬─▶ policy
    last reward ──────────┘                                              └─▶ value

Torso and heads see all T * B frames at once. Acting is the same call with T = 1. What led to a row is part of its
input; after a reset nothing led to it: the action's one-hot is then all zero (not action 0) and the reward 0. What
an action is, and what the policy's numbers mean, says `rmc_agents.actions`; what an observation is,
`rmc_agents.observations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents.actions import Actions
from rmc_agents.core import Core, State
from rmc_agents.heads import PolicyHead, ValueHead
from rmc_agents.observations import Observation
from rmc_agents.torso import make_torso
from rmc_agents.trace import Trace
from rmc_agents.tree import map_tree


@dataclass(frozen=True)
class AgentOutput:
    """What the agent says of every row.

    Attributes:
        policy: ``[T, B, P]``, the policy's numbers: the logits of A discrete actions.
        value: ``[T, B]``, the expected discounted return.
    """

    policy: Tensor
    value: Tensor


def squash(reward: Tensor) -> Tensor:
    """sign(r) log(1 + |r|): keeps the core's input moderate for any scale of reward, and keeps rewards apart.

    Only ever used for the agent's input; learning takes the reward as it is.
    """
    return reward.sign() * reward.abs().log1p()


class Agent(nn.Module):
    """A recurrent actor-critic.

    Args:
        observation: what an observation is, such as ``Image((5, 5, 3))``.
        actions: what an action is, such as ``Discrete(5)``.
        core: called with the core's input size, returns the memory core.
        torso: name of the torso, ``"auto"`` to choose by the observation (:func:`rmc_agents.torso.make_torso`).
        torso_options: options of the torso.
        use_last_action: whether the core sees the one-hot last action.
        use_last_reward: whether the core sees the squashed last reward.
        normalise_output: whether the heads read the core's output through a LayerNorm. A relational memory is not
            bounded: as it grows, so does what one step of the optimiser changes in a linear head's value.
        normalise_value: whether the value head works in units of the returns' mean and spread
            (:class:`rmc_agents.heads.ValueHead`).

    Raises:
        ValueError: an unknown torso, or a core that reads something else than the torso gives: another input size, or
            another map where the core has a ``map_shape``.
    """

    def __init__(
        self,
        *,
        observation: Observation,
        actions: Actions,
        core: Callable[[int], Core],
        torso: str = "auto",
        torso_options: dict[str, Any] | None = None,
        use_last_action: bool = True,
        use_last_reward: bool = True,
        normalise_output: bool = False,
        normalise_value: bool = False,
    ) -> None:
        super().__init__()
        self.observation = observation
        self.actions = actions
        self.use_last_action = use_last_action
        self.use_last_reward = use_last_reward
        self.torso = make_torso(torso, observation, **(torso_options or {}))
        core_input_size = self.torso.output_size + actions.num_features * use_last_action + 1 * use_last_reward
        self.core = core(core_input_size)
        if self.core.input_size != core_input_size:
            raise ValueError(f"core: one of input size {self.core.input_size} given, {core_input_size} needed")
        # Sizes alone do not tell: what a map too small leaves over would pass for the numbers that follow it.
        needed_map, map_shape = getattr(self.core, "map_shape", None), self.torso.map_shape
        if needed_map not in (None, map_shape):
            given = "no map, as those of the torso 'viewport' are" if map_shape is None else _sizes(map_shape)
            raise ValueError(
                f"core: one that reads a map of {_sizes(needed_map)} (height x width x channels) given, "
                f"but the torso's features are {given}"
            )
        self.output_norm = nn.LayerNorm(self.core.output_size) if normalise_output else nn.Identity()
        self.policy = PolicyHead(self.core.output_size, actions.num_parameters)
        self.value = ValueHead(self.core.output_size, normalise_value)

    def initial_state(self, batch_size: int) -> State:
        """The core's memory at the start of an episode for each of ``batch_size`` environments."""
        return self.core.initial_state(batch_size)

    def forward(
        self, observation: Any, last_action: Tensor, last_reward: Tensor, reset: Tensor, state: State
    ) -> tuple[AgentOutput, State]:
        """Policy and value for T rows of B environments.

        Args:
            observation: ``[T, B, *shape]``, or a tree of them where an observation has several parts.
            last_action: ``[T, B, *actions.shape]``, the action that led to each row; any value where reset.
            last_reward: ``[T, B]``, the reward that came with each row, as the environment gave it; any where reset.
            reset: bool ``[T, B]``, where a new episode begins.
            state: the core's memory before row 0.

        Returns:
            The output and the memory after row T - 1.

        Raises:
            ValueError: a shape does not fit; the message names the argument.
        """
        outputs, state = self.core(self._core_inputs(observation, last_action, last_reward, reset), state, reset)
        return self._judge(outputs), state

    @torch.no_grad()
    def trace(
        self, observation: Any, last_action: Tensor, last_reward: Tensor, reset: Tensor, state: State
    ) -> tuple[AgentOutput, Trace]:
        """What :meth:`forward` says of the same arguments, and what the core did meanwhile, without gradients.

        Raises:
            ValueError: as :meth:`forward`.
        """
        trace = self.core.trace(self._core_inputs(observation, last_action, last_reward, reset), state, reset)
        return self._judge(trace.outputs), trace

    def _core_inputs(self, observation: Any, last_action: Tensor, last_reward: Tensor, reset: Tensor) -> Tensor:
        """What the core reads, ``[T, B, I]``; the arguments are those of :meth:`forward`."""
        rows = tuple(reset.shape)  # (T, B)
        self._check("last_action", last_action, rows, self.actions.shape)
        self._check("last_reward", last_reward, rows, ())
        map_tree(lambda leaf, x: self._check("observation", x, rows, leaf.shape), self.observation, observation)
        frames = map_tree(lambda x: x.flatten(0, 1), observation)
        features = self.torso(frames).unflatten(0, rows)  # [T, B, features]
        parts = [features]
        if self.use_last_action:
            parts.append(self.actions.encode(last_action, reset).to(features.dtype))  # [T, B, E]
        if self.use_last_reward:
            # Selected, not multiplied: a reward that is not finite must not outlive its episode.
            parts.append(torch.where(reset, 0.0, squash(last_reward)).to(features.dtype).unsqueeze(-1))  # [T, B, 1]
        return torch.cat(parts, dim=-1)

    def _judge(self, outputs: Tensor) -> AgentOutput:
        """What the heads make of the core's outputs ``[T, B, O]``."""
        outputs = self.output_norm(outputs)
        return AgentOutput(policy=self.policy(outputs), value=self.value(outputs))

    @staticmethod
    def _check(name: str, tensor: Tensor, rows: tuple[int, ...], shape: tuple[int, ...]) -> None:
        if tuple(tensor.shape) != (*rows, *shape):
            raise ValueError(
                f"{name}: shape {list(tensor.shape)} given, {[*rows, *shape]} needed as reset is {list(rows)}"
            )


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
