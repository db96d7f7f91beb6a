"""An agent's weights as plain arrays: what travels from learner to actors and into checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from rmc_rl.errors import UserError


def get_weights(agent: torch.nn.Module) -> dict[str, np.ndarray]:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().numpy().copy() for name, value in agent.state_dict().items()}


def load_weights(agent: torch.nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Put weights into an agent.

    Raises:
        UserError: a weight is missing, unknown or of another shape; the message names it.
    """
    own = agent.state_dict()
    for name in sorted(set(own) | set(weights)):
        if name not in weights:
            raise UserError(f"the weights do not fit this agent: '{name}' is missing")
        if name not in own:
            raise UserError(f"the weights do not fit this agent: '{name}' is unknown here")
        given, needed = tuple(weights[name].shape), tuple(own[name].shape)
        if given != needed:
            raise UserError(f"the weights do not fit this agent: '{name}' has shape {given}, needed is {needed}")
    agent.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
