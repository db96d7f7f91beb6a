"""V-trace: off-policy corrected value targets and advantages (IMPALA section 4.1).

    rho_t   = min(rho_bar, pi/mu)          c_t = lambda · min(c_bar, pi/mu)
    delta_t = rho_t (r_t + gamma_t V(x_{t+1}) − V(x_t))
    v_s     = V(x_s) + delta_s + gamma_s c_s (v_{s+1} − V(x_{s+1}))
    advantage_s = rho_s (r_s + gamma_s v_{s+1} − V(x_s))

gamma_t is 0 where the episode terminated. On a transition that is not valid (the autoreset step) rho = c = 0, so its
target is its value and nothing flows across it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class VTrace(NamedTuple):
    """Targets and advantages; none carries a gradient."""

    target: Tensor  # [T, B] v_s
    advantage: Tensor  # [T, B], 0 where not valid
    uncorrected_advantage: Tensor  # the same without rho_s: of the action taken, however likely it was


@torch.no_grad()
def vtrace(
    log_ratio: Tensor,
    discount: Tensor,
    reward: Tensor,
    value: Tensor,
    bootstrap: Tensor,
    valid: Tensor,
    *,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
    trace_lambda: float = 1.0,
) -> VTrace:
    """Compute targets for the value and advantages for the policy.

    Args:
        log_ratio: [T, B] log pi(a|x) − log mu(a|x).
        discount: [T, B] gamma_t, 0 where the episode terminated.
        reward: [T, B].
        value: [T, B] V(x_t) of the learner.
        bootstrap: [B] V(x_T).
        valid: [T, B] bool, the transitions that count.
        rho_bar: clip of rho; it decides the fixed point.
        c_bar: clip of c; it decides the speed of convergence.
        trace_lambda: extra factor on c.
    """
    ratio = torch.exp(log_ratio)
    rho = torch.where(valid, ratio.clamp(max=rho_bar), 0.0)  # where, not times: an infinite ratio must not spread NaN
    c = torch.where(valid, trace_lambda * ratio.clamp(max=c_bar), 0.0)
    reward = torch.where(valid, reward, 0.0)
    next_value = torch.cat([value[1:], bootstrap[None]])
    delta = rho * (reward + discount * next_value - value)
    correction = torch.zeros_like(bootstrap)  # v_{t+1} − V(x_{t+1})
    corrections = []
    for t in reversed(range(value.shape[0])):
        correction = delta[t] + discount[t] * c[t] * correction
        corrections.append(correction)
    target = value + torch.stack(corrections[::-1])
    next_target = torch.cat([target[1:], bootstrap[None]])
    uncorrected = torch.where(valid, reward + discount * next_target - value, 0.0)
    return VTrace(target, rho * uncorrected, uncorrected)
