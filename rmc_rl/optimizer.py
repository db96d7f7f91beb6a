"""The optimiser of a training run: its algorithm, its step size over the run, and its part of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rmc_rl.config import OptimizerConfig
from rmc_rl.errors import UserError
from rmc_rl.schedules import scheduled


class Optimizer:
    """RMSProp or Adam over all parameters of a module, as configured.

    Args:
        module: whose parameters; they keep their places.
        config: algorithm, step size and its schedule, clipping.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig) -> None:
        self.config = config
        self.parameters = list(module.parameters())
        self._names = dict(module.named_parameters())
        self._algorithm = _algorithm(self.parameters, config)

    def schedule(self, progress: float, updates: int) -> float:
        """Set and return the step size, where `progress` of the budget (0 .. 1) is spent after so many updates."""
        config = self.config
        rate = scheduled(config.learning_rate, config.learning_rate_final, config.learning_rate_schedule, progress)
        if updates < config.warmup_updates:
            rate *= (updates + 1) / config.warmup_updates
        for group in self._algorithm.param_groups:
            group["lr"] = rate
        return rate

    def clip(self) -> Tensor:
        """Clip the gradients as configured; returns their global norm before that."""
        limit = self.config.max_grad_norm
        return nn.utils.clip_grad_norm_(self.parameters, math.inf if limit is None else limit)

    def step(self) -> None:
        """Change the parameters by their gradients."""
        self._algorithm.step()

    def get_state(self) -> dict[str, dict[str, np.ndarray]]:
        """The running averages, by ``parameter/average`` below the algorithm's name."""
        return {
            self.config.optimizer: {
                f"{name}/{key}": np.asarray(torch.as_tensor(value).cpu()).copy()
                for name, parameter in self._names.items()
                for key, value in self._algorithm.state.get(parameter, {}).items()
            }
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `get_state`; afresh where the algorithm is another, or keeps other averages.

        Raises:
            UserError: an average does not fit its parameter.
        """
        stored = state.get(self.config.optimizer, {})
        self._algorithm.state.clear()
        if {path.rsplit("/", 1)[-1] for path in stored} != self._averages():
            return
        for path, value in stored.items():
            name, _, key = path.rpartition("/")
            if name not in self._names or value.shape not in ((), self._names[name].shape):
                raise UserError(f"the checkpoint does not fit this agent: its optimiser's '{path}' has no place here")
            tensor, parameter = torch.from_numpy(np.array(value)), self._names[name]
            # Step counts stay on the CPU, as the optimisers keep them; averages go beside their parameter.
            self._algorithm.state[parameter][key] = tensor if key == "step" else tensor.to(parameter.device)

    def _averages(self) -> set[str]:
        """What the algorithm keeps per parameter, as configured now."""
        if self.config.optimizer == "adam":
            return {"step", "exp_avg", "exp_avg_sq"}
        return {"step", "square_avg"} | ({"momentum_buffer"} if self.config.rmsprop_momentum > 0 else set())


def _algorithm(parameters: list[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(
            parameters,
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.epsilon,
        )
    return torch.optim.RMSprop(
        parameters,
        lr=config.learning_rate,
        alpha=config.rmsprop_decay,
        eps=config.epsilon,
        momentum=config.rmsprop_momentum,
    )
