"""The agent: torso, memory core, policy and value heads (wired as in IMPALA, Espeholt et al. 2018)::

    observation ─▶ torso ─┐
    last action ──────────┼─▶ core (the only part that loops over time) ─┬─▶ policy logits
    last reward ──────────┘                                              └─▶ value

Torso and heads see all T * B frames at once. Acting is the same call with T = 1. What led to a row is part of its
input; after a reset nothing led to it: the action's one-hot is then all zero (not action 0) and the reward 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents.core import Core, State
from rmc_agents.heads import PolicyHead, ValueHead
from rmc_agents.torso import make_torso


@dataclass(frozen=True)
class AgentOutput:
    """What the agent says of every row.

    Attributes:
        logits: ``[T, B, A]``, the policy over A discrete actions.
        value: ``[T, B]``, the expected discounted return.
    """

    logits: Tensor
    value: Tensor


def squash(reward: Tensor) -> Tensor:
    """sign(r) log(1 + |r|): keeps the core's input moderate for any scale of reward, and keeps rewards apart.

    Only ever used for the agent's input; learning takes the reward as it is.
    """
    return reward.sign() * reward.abs().log1p()


class Agent(nn.Module):
    """A recurrent actor-critic for discrete actions.

    Args:
        observation_shape: shape of one observation, (height, width, channels) for images.
        is_image: whether observations are images.
        num_actions: A.
        core: called with the core's input size, returns the memory core.
        torso: name of the torso, ``"auto"`` to choose by the observation (:func:`rmc_agents.torso.make_torso`).
        torso_options: options of the torso.
        use_last_action: whether the core sees the one-hot last action.
        use_last_reward: whether the core sees the squashed last reward.
        normalise_output: whether the heads read the core's output through a LayerNorm. A relational memory is not
            bounded: as it grows, so does what one step of the optimiser changes in a linear head's value.

    Raises:
        ValueError: ``num_actions`` below 1, an unknown torso, or a core that reads something else than the torso gives:
            another input size, or another map where the core has a ``map_shape``.
    """

    def __init__(
        self,
        *,
        observation_shape: tuple[int, ...],
        is_image: bool,
        num_actions: int,
        core: Callable[[int], Core],
        torso: str = "auto",
        torso_options: dict[str, Any] | None = None,
        use_last_action: bool = True,
        use_last_reward: bool = True,
        normalise_output: bool = False,
    ) -> None:
        super().__init__()
        self.observation_shape = tuple(observation_shape)
        self.num_actions = num_actions
        self.use_last_action = use_last_action
        self.use_last_reward = use_last_reward
        self.torso = make_torso(torso, self.observation_shape, is_image, **(torso_options or {}))
        core_input_size = self.torso.output_size + num_actions * use_last_action + 1 * use_last_reward
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
        self.policy = PolicyHead(self.core.output_size, num_actions)
        self.value = ValueHead(self.core.output_size)
        self.action_numbers: Tensor
        self.register_buffer("action_numbers", torch.arange(num_actions), persistent=False)

    def initial_state(self, batch_size: int) -> State:
        """The core's memory at the start of an episode for each of ``batch_size`` environments."""
        return self.core.initial_state(batch_size)

    def forward(
        self, observation: Tensor, last_action: Tensor, last_reward: Tensor, reset: Tensor, state: State
    ) -> tuple[AgentOutput, State]:
        """Policy and value for T rows of B environments.

        Args:
            observation: ``[T, B, *observation_shape]``.
            last_action: int64 ``[T, B]``, the action that led to each row; any value where reset.
            last_reward: ``[T, B]``, the reward that came with each row, as the environment gave it; any where reset.
            reset: bool ``[T, B]``, where a new episode begins.
            state: the core's memory before row 0.

        Returns:
            The output and the memory after row T - 1.

        Raises:
            ValueError: a shape does not fit; the message names the argument.
        """
        rows = tuple(reset.shape)  # (T, B)
        needed = {"observation": rows + self.observation_shape, "last_action": rows, "last_reward": rows}
        given = {"observation": observation, "last_action": last_action, "last_reward": last_reward}
        for name, tensor in given.items():
            if tuple(tensor.shape) != needed[name]:
                raise ValueError(
                    f"{name}: shape {list(tensor.shape)} given, {list(needed[name])} needed as reset is {list(rows)}"
                )
        features = self.torso(observation.flatten(0, 1)).unflatten(0, rows)  # [T, B, features]
        parts = [features]
        if self.use_last_action:
            # Not torch.nn.functional.one_hot, which knows no absent action.
            one_hot = (last_action.unsqueeze(-1) == self.action_numbers) & ~reset.unsqueeze(-1)
            parts.append(one_hot.to(features.dtype))  # [T, B, A]
        if self.use_last_reward:
            # Selected, not multiplied: a reward that is not finite must not outlive its episode.
            parts.append(torch.where(reset, 0.0, squash(last_reward)).to(features.dtype).unsqueeze(-1))  # [T, B, 1]
        outputs, state = self.core(torch.cat(parts, dim=-1), state, reset)
        outputs = self.output_norm(outputs)
        return AgentOutput(logits=self.policy(outputs), value=self.value(outputs)), state


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
