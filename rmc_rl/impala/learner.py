"""The learner: rollouts in, better weights and figures out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rmc_agents.agent import Agent
from rmc_agents.tree import map_tree
from rmc_rl.config import LearnerConfig
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.impala.loss import impala_loss
from rmc_rl.impala.rollout import Rollout, join
from rmc_rl.impala.schedules import scheduled
from rmc_rl.impala.weights import get_weights, load_weights


class Learner:
    """Agent, optimiser and V-trace loss on one device.

    Args:
        agent: trained in place; moved to `device`.
        config: optimiser, costs, discount, schedules.
        total_steps: the budget, which the schedules are a share of.
        device: where it learns.
    """

    def __init__(self, agent: Agent, config: LearnerConfig, total_steps: int, device: str) -> None:
        self.agent = agent.to(device)
        self.config = config
        self.total_steps = total_steps
        self.device = torch.device(device)
        self.optimizer = make_optimizer(self.agent, config)
        self.steps = 0  # valid environment steps learnt from
        self.updates = 0

    def update(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        """Learn from these rollouts; returns the figures of this update (see the glossary in `rmc_rl.metrics`).

        Raises:
            NonFiniteLossError: the loss is not finite; the weights are those of the update before.
        """
        started = time.perf_counter()
        batch = join(rollouts)
        progress = self.steps / self.total_steps
        config = self.config
        learning_rate = scheduled(
            config.learning_rate, config.learning_rate_final, config.learning_rate_schedule, progress
        )
        if self.updates < config.warmup_updates:
            learning_rate *= (self.updates + 1) / config.warmup_updates
        entropy_cost = scheduled(config.entropy_cost, config.entropy_cost_final, config.entropy_cost_schedule, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

        valid = torch.from_numpy(batch.valid).to(self.device)
        output, _ = self.agent(
            map_tree(self._tensor, batch.observation),
            self._tensor(batch.last_action),
            self._tensor(batch.last_reward),
            self._tensor(batch.reset),
            map_tree(self._tensor, batch.core_state),
        )
        loss = impala_loss(
            output,
            self._tensor(batch.action),
            self._tensor(batch.reward),
            self._tensor(batch.terminated),
            self._tensor(batch.behaviour_log_prob),
            valid,
            config=config,
            entropy_cost=entropy_cost,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        limit = config.max_grad_norm if config.max_grad_norm is not None else math.inf
        grad_norm = torch.nn.utils.clip_grad_norm_(self.agent.parameters(), limit)
        tensors = {
            "loss": loss.total.detach(),
            "policy_loss": loss.policy,
            "value_loss": loss.value,
            "entropy": loss.entropy,
            "value": loss.mean_value,
            "rho": loss.mean_rho,
            "explained_variance": loss.explained_variance,
            "grad_norm": grad_norm,
        }
        figures = torch.stack(list(tensors.values())).tolist()  # one transfer, which waits for the device
        metrics: dict[str, Any] = dict(zip(tensors, figures, strict=True))
        if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])):
            raise NonFiniteLossError(
                f"the loss of update {self.updates + 1} is not finite (loss {metrics['loss']}, gradient norm "
                f"{metrics['grad_norm']}): the weights were left as they were; a smaller learner.learning_rate helps"
            )
        self.optimizer.step()

        steps = int(batch.valid.sum())
        lags = [self.updates - rollout.weights_version for rollout in rollouts]
        self.steps += steps
        self.updates += 1
        return metrics | {
            "learning_rate": learning_rate,
            "entropy_cost": entropy_cost,
            "policy_lag": float(np.mean(lags)),
            "policy_lag_max": float(max(lags)),
            "batch_steps": steps,
            "steps": self.steps,
            "updates": self.updates,
            "update_seconds": time.perf_counter() - started,
            "episode_return": batch.episode_return,
            "episode_length": batch.episode_length,
            "env_failures": batch.env_failures,
        }

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of the weights, fit to be sent to actors."""
        return get_weights(self.agent)

    def get_state(self) -> dict[str, Any]:
        """Weights, optimiser state and counters: a tree of arrays and numbers."""
        optimizer = {
            f"{name}/{key}": np.asarray(torch.as_tensor(value).cpu()).copy()
            for name, parameter in self.agent.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
        return {
            "agent": self.weights(),
            "optimizer": {self.config.optimizer: optimizer},
            "steps": np.asarray(self.steps, np.int64),
            "updates": np.asarray(self.updates, np.int64),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of `get_state`. The optimiser starts afresh where its kind or the agent has changed.

        Raises:
            UserError: the weights do not fit this agent, or the state is damaged.
        """
        try:
            weights, stored = state["agent"], state["optimizer"].get(self.config.optimizer, {})
            self.steps, self.updates = int(state["steps"]), int(state["updates"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint's record of the learner is damaged: {error!r}") from error
        load_weights(self.agent, weights)
        self.optimizer.state.clear()
        parameters = dict(self.agent.named_parameters())
        if {path.rsplit("/", 1)[-1] for path in stored} != self._optimizer_keys():
            return
        for path, value in stored.items():
            name, _, key = path.rpartition("/")
            if name not in parameters or value.shape not in ((), parameters[name].shape):
                raise UserError(f"the checkpoint does not fit this agent: its optimiser's '{path}' has no place here")
            tensor = torch.from_numpy(np.array(value))
            # Step counts stay on the CPU, as the optimisers keep them; averages go beside their parameter.
            self.optimizer.state[parameters[name]][key] = tensor if key == "step" else tensor.to(self.device)

    def _optimizer_keys(self) -> set[str]:
        """What the optimiser keeps per parameter, as configured now."""
        if self.config.optimizer == "adam":
            return {"step", "exp_avg", "exp_avg_sq"}
        return {"step", "square_avg"} | ({"momentum_buffer"} if self.config.rmsprop_momentum > 0 else set())

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        # Arrays out of Ray's object store are read-only, which torch tensors cannot express: they are copied.
        writable = array if array.flags.writeable else array.copy()
        return torch.from_numpy(writable).to(self.device, non_blocking=True)


def make_optimizer(agent: torch.nn.Module, config: LearnerConfig) -> torch.optim.Optimizer:
    """RMSProp or Adam as configured."""
    if config.optimizer == "adam":
        return torch.optim.Adam(
            agent.parameters(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.epsilon,
        )
    return torch.optim.RMSprop(
        agent.parameters(),
        lr=config.learning_rate,
        alpha=config.rmsprop_decay,
        eps=config.epsilon,
        momentum=config.rmsprop_momentum,
    )
