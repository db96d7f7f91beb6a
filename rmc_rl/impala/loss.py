"""The actor-critic loss of IMPALA over one batch (sections 4.2, D)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rmc_agents import heads
from rmc_agents.agent import AgentOutput
from rmc_rl.config import LearnerConfig
from rmc_rl.impala.vtrace import vtrace


@dataclass(frozen=True)
class Loss:
    """The loss to minimise and what it is made of.

    ``total`` is reduced as configured; the other figures are means over valid transitions whatever the reduction.
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    mean_value: Tensor
    mean_rho: Tensor
    explained_variance: Tensor


def impala_loss(
    output: AgentOutput,
    action: Tensor,
    reward: Tensor,
    terminated: Tensor,
    behaviour_log_prob: Tensor,
    valid: Tensor,
    *,
    config: LearnerConfig,
    entropy_cost: float,
) -> Loss:
    """Policy gradient with V-trace advantages, squared value error, entropy bonus.

    Args:
        output: of the learner's agent on all T+1 rows; the last row's value bootstraps.
        action: [T, B].
        reward: [T, B].
        terminated: [T, B] bool.
        behaviour_log_prob: [T, B] float32.
        valid: [T, B] bool; terms and means take these transitions only.
        config: costs, discount, clips and reduction.
        entropy_cost: today's weight of the entropy bonus.
    """
    logits, value = output.logits[:-1], output.value[:-1]
    log_prob = heads.log_prob(logits, action)  # [T, B]
    log_ratio = log_prob.detach() - behaviour_log_prob
    trace = vtrace(
        log_ratio,
        torch.where(terminated, 0.0, config.discount),
        reward * config.reward_scale,
        value.detach(),
        output.value[-1].detach(),
        valid,
        rho_bar=config.rho_bar,
        c_bar=config.c_bar,
        trace_lambda=config.trace_lambda,
    )
    weight = valid.to(value.dtype)
    count = weight.sum().clamp(min=1.0)
    policy = -(weight * log_prob * trace.advantage).sum()
    squared_error = (weight * (trace.target - value) ** 2).sum()
    entropy = (weight * heads.entropy(logits)).sum()
    total = policy + config.baseline_cost * 0.5 * squared_error - entropy_cost * entropy
    if config.loss_reduction == "mean":
        total = total / count
    with torch.no_grad():
        # Share of the targets' variance that the value explains: 1 is perfect, 0 no better than a constant.
        mean_target = (weight * trace.target).sum() / count
        variance = (weight * (trace.target - mean_target) ** 2).sum()
        rho = torch.where(valid, log_ratio.exp().clamp(max=config.rho_bar), 0.0)
        return Loss(
            total=total,
            policy=policy.detach() / count,
            value=0.5 * squared_error.detach() / count,
            entropy=entropy.detach() / count,
            mean_value=(weight * value).sum() / count,
            mean_rho=rho.sum() / count,
            explained_variance=1.0 - squared_error.detach() / variance.clamp(min=1e-8),
        )
