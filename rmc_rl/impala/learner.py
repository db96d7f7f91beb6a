"""The learner: rollouts in, better weights and figures out."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmc_agents.agent import Agent
from rmc_agents.tree import leaves, map_tree
from rmc_rl.config import LearnerConfig
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.gradients import Gradients, GradientSum, alone
from rmc_rl.impala.loss import explained_variance, impala_loss
from rmc_rl.impala.rollout import Rollout, join, split
from rmc_rl.optimizer import Optimizer
from rmc_rl.schedules import scheduled
from rmc_rl.weights import get_weights, load_weights

FEWEST_GAMES_AT_ONCE, MOST_GAMES_AT_ONCE = 16, 64
"""Games of a part, on a CPU, where not configured: half the batch within these bounds."""
VERSIONS_REMEMBERED = 1000
_LOSS_FIGURES = (
    *("loss", "policy_loss", "value_loss", "entropy", "value", "rho", "mean_target", "mean_squared_target"),
)
"""What the logs call the fields of `Loss`."""


class Learner:
    """Agent, optimiser and V-trace loss on one device.

    A batch is learnt from in parts of some games side by side, whose gradients are added in their order: a part's
    working set stays small, and the parts of one batch go to whichever of the threads is free. How many threads there
    are changes nothing but the time it takes.

    Args:
        agent: trained in place; moved to `device`.
        config: optimiser, costs, discount, schedules, size of the parts.
        total_steps: the budget, which the schedules are a share of.
        device: where it learns.
        threads: parts worked on at a time; more than one on a CPU only.
        all_reduce: gives the sum of each tensor over all learners that share a batch (`rmc_rl.impala.data_parallel`).
    """

    def __init__(
        self,
        agent: Agent,
        config: LearnerConfig,
        total_steps: int,
        device: str,
        threads: int = 1,
        all_reduce: Callable[[list[Tensor]], list[Tensor]] = alone,
    ) -> None:
        self.agent = agent.to(device)
        self.config = config
        self.total_steps = total_steps
        self.device = torch.device(device)
        self.optimizer = Optimizer(self.agent, config)
        self.steps = 0  # valid environment steps learnt from
        self.updates = 0
        self._steps_at: deque[tuple[int, int]] = deque(maxlen=VERSIONS_REMEMBERED)  # (updates, steps learnt from)
        on_threads = threads if self.device.type == "cpu" else 1
        self._gradient_sum = GradientSum(self.optimizer.parameters, on_threads, all_reduce)

    def update(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        """Learn from these rollouts; returns the figures of this update (see the glossary in `rmc_rl.metrics`).

        Their fields may be arrays, or tensors on any device. Where several learners share the batch these are the
        share of this one; loss, gradients and steps are those of the whole.

        Raises:
            NonFiniteLossError: the loss is not finite; the weights are those of the update before.
        """
        started = time.perf_counter()
        progress = self.steps / self.total_steps
        config = self.config
        learning_rate = self.optimizer.schedule(progress, self.updates)
        entropy_cost = scheduled(config.entropy_cost, config.entropy_cost_final, config.entropy_cost_schedule, progress)

        batch = join(rollouts)
        valid = self._tensor(batch.valid)
        ((count, learnt),) = self._gradient_sum.all_reduce([torch.stack([valid.sum(), valid[config.burn_in :].sum()])])
        loss = self._put_gradients(batch, learnt, entropy_cost)
        grad_norm = self.optimizer.clip()
        # One transfer, the only one that waits for the device.
        *sums, norm, counted = torch.cat([loss, grad_norm.double()[None], count.double()[None]]).tolist()
        figures = dict(zip(_LOSS_FIGURES, sums, strict=True))
        moments = figures.pop("mean_target"), figures.pop("mean_squared_target")
        figures["explained_variance"] = explained_variance(figures["value_loss"], *moments)
        if not (math.isfinite(figures["loss"]) and math.isfinite(norm)):
            remedy = "a smaller learner.learning_rate helps"
            for name, data in (("an observation", batch.observation), ("a reward", batch.reward)):
                if not self._is_finite(data):
                    remedy = f"the environment gave {name} that is not finite"
            raise NonFiniteLossError(
                f"the loss of update {self.updates + 1} is not finite (loss {figures['loss']}, gradient norm {norm}): "
                f"the weights were left as they were; {remedy}"
            )
        self.optimizer.step()
        if self.agent.value.normalise:
            self.agent.value.follow(*moments)

        steps = int(counted)
        lags = [self.updates - rollout.weights_version for rollout in rollouts]
        lags_in_steps = [self.steps - self._steps_after(rollout.weights_version) for rollout in rollouts]
        self.steps += steps
        self.updates += 1
        self._steps_at.append((self.updates, self.steps))
        return figures | {
            "grad_norm": norm,
            "learning_rate": learning_rate,
            "entropy_cost": entropy_cost,
            "policy_lag": float(np.mean(lags)),
            "policy_lag_max": float(max(lags)),
            "policy_lag_steps": float(np.mean(lags_in_steps)),
            "batch_steps": steps,
            "steps": self.steps,
            "updates": self.updates,
            "update_seconds": time.perf_counter() - started,
            "episode_return": batch.episode_return,
            "episode_length": batch.episode_length,
            "env_failures": batch.env_failures,
        }

    def _put_gradients(self, batch: Rollout, count: Tensor, entropy_cost: float) -> Tensor:
        """Set every parameter's ``grad``; returns the figures of `_LOSS_FIGURES`."""
        games = self.config.games_at_once
        if games is None:
            games = total = batch.reset.shape[1]
            if self.device.type == "cpu":  # no function of the threads: how many there are must change no bit
                games = min(max(-(-total // 2), FEWEST_GAMES_AT_ONCE), MOST_GAMES_AT_ONCE)
        parts = split(batch, games)

        def work(part: Rollout) -> Gradients:
            return self._gradients(part, count, entropy_cost)

        return self._gradient_sum.put(parts, work)

    def _gradients(self, part: Rollout, count: Tensor, entropy_cost: float) -> Gradients:
        """The gradients of a part of a batch with ``count`` steps to learn from, and its share of the figures."""
        burn_in = self.config.burn_in
        rows = map_tree(self._tensor, (part.observation, part.last_action, part.last_reward, part.reset))
        core_state = map_tree(self._tensor, part.core_state)
        if burn_in > 0:
            with torch.no_grad():
                _, core_state = self.agent(*map_tree(lambda x: x[:burn_in], rows), core_state)
            rows = map_tree(lambda x: x[burn_in:], rows)
        output, _ = self.agent(*rows, core_state)
        played = (part.action, part.reward, part.terminated, part.behaviour_log_prob, part.valid)
        loss = impala_loss(
            output,
            *(self._tensor(x[burn_in:]) for x in played),
            actions=self.agent.actions,
            config=self.config,
            entropy_cost=entropy_cost,
            count=count,
            value_scale=self.agent.value.scale,
        )
        gradients = torch.autograd.grad(loss.total, self.optimizer.parameters, allow_unused=True)
        return gradients, torch.stack([figure.detach().double() for figure in vars(loss).values()])

    def _steps_after(self, updates: int) -> int:
        """Steps learnt from after so many updates; as far back as is remembered."""
        known = [steps for number, steps in self._steps_at if number <= updates]
        return known[-1] if known else self._steps_at[0][1] if self._steps_at and updates > 0 else 0

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of the weights, fit to be sent to actors."""
        return get_weights(self.agent)

    def get_state(self) -> dict[str, Any]:
        """Weights, optimiser state and counters: a tree of arrays and numbers."""
        return {
            "agent": self.weights(),
            "optimizer": self.optimizer.get_state(),
            "steps": np.asarray(self.steps, np.int64),
            "updates": np.asarray(self.updates, np.int64),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of `get_state`. The optimiser starts afresh where its kind or the agent has changed.

        Raises:
            UserError: the weights do not fit this agent, or the state is damaged.
        """
        try:
            weights, optimizer = state["agent"], dict(state["optimizer"])
            self.steps, self.updates = int(state["steps"]), int(state["updates"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint's record of the learner is damaged: {error!r}") from error
        load_weights(self.agent, weights)
        self.optimizer.set_state(optimizer)
        self._steps_at.clear()
        self._steps_at.append((self.updates, self.steps))

    def _is_finite(self, data: Any) -> bool:
        """Whether every number of a tree is."""
        return all(bool(self._tensor(leaf).isfinite().all()) for leaf in leaves(data))

    def _tensor(self, data: np.ndarray | Tensor) -> Tensor:
        if isinstance(data, Tensor):
            return data.to(self.device, non_blocking=True)
        # Arrays out of Ray's object store are read-only, which torch tensors cannot express: they are copied.
        array = np.ascontiguousarray(data)
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # from elsewhere the host would wait for the copy
        return tensor.to(self.device, non_blocking=True)
