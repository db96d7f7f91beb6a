"""The actor-critic loss of IMPALA over one batch (sections 4.2, D), or with the policy's term of PPO (APPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rmc_agents.actions import Actions
from rmc_agents.agent import AgentOutput
from rmc_rl.config import LearnerConfig
from rmc_rl.impala.vtrace import vtrace


@dataclass(frozen=True)
class Loss:
    """The loss to minimise and what it is made of; those of a batch's parts add up to the batch's.

    ``total`` is reduced as configured; the other figures are means over valid transitions whatever the reduction.
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    mean_value: Tensor
    mean_rho: Tensor
    mean_target: Tensor
    mean_squared_target: Tensor


def explained_variance(value_loss: float, mean_target: float, mean_squared_target: float) -> float:
    """Share of the targets' variance that the value explains: 1 is perfect, 0 no better than a constant."""
    return 1.0 - 2.0 * value_loss / max(mean_squared_target - mean_target**2, 1e-8)


def impala_loss(
    output: AgentOutput,
    action: Tensor,
    reward: Tensor,
    terminated: Tensor,
    behaviour_log_prob: Tensor,
    valid: Tensor,
    *,
    actions: Actions,
    config: LearnerConfig,
    entropy_cost: float,
    count: Tensor | None = None,
    value_scale: Tensor | None = None,
) -> Loss:
    """Policy gradient with V-trace advantages, squared value error, entropy bonus.

    With ``config.surrogate_clip`` the policy's term is the clipped surrogate of PPO (Schulman et al. 2017, equation 7):
    the ratio is that of the learner's policy and the one that acted, and the advantage that of the action taken, whose
    importance weight the ratio is already.

    Args:
        output: of the learner's agent on all T+1 rows; the last row's value bootstraps.
        action: [T, B, …].
        reward: [T, B].
        terminated: [T, B] bool.
        behaviour_log_prob: [T, B] float32.
        valid: [T, B] bool; terms and means take these transitions only.
        actions: what they are.
        config: costs, discount, clips and reduction.
        entropy_cost: the current weight of the entropy bonus.
        count: valid transitions of the whole batch, where this is a part of one; None: this is all.
        value_scale: unit of the values in which advantages and errors count; None: 1.
    """
    policy, value = output.policy[:-1], output.value[:-1]
    log_prob = actions.log_prob(policy, action)  # [T, B]
    log_ratio = log_prob.detach() - behaviour_log_prob
    trace = vtrace(
        log_ratio,
        torch.where(terminated, 0.0, config.discount),
        _for_learning(reward, config),
        value.detach(),
        output.value[-1].detach(),
        valid,
        rho_bar=config.rho_bar,
        c_bar=config.c_bar,
        trace_lambda=config.trace_lambda,
    )
    weight = valid.to(value.dtype)
    among = (weight.sum() if count is None else count).clamp(min=1)
    scale = 1.0 if value_scale is None else value_scale
    if config.surrogate_clip is None:
        gain = weight * log_prob * trace.advantage
    else:
        gain = _clipped_surrogate(log_prob, behaviour_log_prob, trace.uncorrected_advantage, valid, config)
    policy_loss = -gain.sum() / scale
    squared_error = (weight * (trace.target - value) ** 2).sum()
    entropy = (weight * actions.entropy(policy)).sum()
    total = policy_loss + config.baseline_cost * 0.5 * squared_error / scale**2 - entropy_cost * entropy
    if config.loss_reduction == "mean":
        total = total / among
    with torch.no_grad():
        rho = torch.where(valid, log_ratio.exp().clamp(max=config.rho_bar), 0.0)
        target = weight.double() * trace.target  # its variance is the difference of two sums
        return Loss(
            total=total,
            policy=policy_loss.detach() / among,
            value=0.5 * squared_error.detach() / among,
            entropy=entropy.detach() / among,
            mean_value=(weight * value).sum() / among,
            mean_rho=rho.sum() / among,
            mean_target=target.sum() / among,
            mean_squared_target=target.square().sum() / among,
        )


def _for_learning(reward: Tensor, config: LearnerConfig) -> Tensor:
    if config.reward_clip is not None:
        reward = reward.clamp(-config.reward_clip, config.reward_clip)
    return reward * config.reward_scale


def _clipped_surrogate(
    log_prob: Tensor, behaviour_log_prob: Tensor, advantage: Tensor, valid: Tensor, config: LearnerConfig
) -> Tensor:
    assert config.surrogate_clip is not None
    # Selected before the exponential: a ratio of no consequence must not spread infinities.
    ratio = torch.where(valid, log_prob - behaviour_log_prob, 0.0).exp()
    clipped = ratio.clamp(1.0 - config.surrogate_clip, 1.0 + config.surrogate_clip)
    return torch.minimum(ratio * advantage, clipped * advantage)
