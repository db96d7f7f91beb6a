"""Heads: from the core's output to the policy's numbers and the value of the state; and the categorical policy.

A policy over discrete actions is a categorical distribution given by its logits ``[..., A]``; the functions here are
what there is to know of it (`rmc_agents.actions` has the other kinds). They work in at least float32, whatever narrower
type the network ran in, because the ratio of two policies' probabilities is what off-policy correction rests on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rmc_agents.initialisers import initialise_

POLICY_GAIN = 0.01
"""Scale of the initial policy weights: so small that every action starts almost equally likely."""


class PolicyHead(nn.Module):
    """Linear map from features ``[..., input_size]`` to a policy's numbers ``[..., num_parameters]``.

    Its initial weights are orthogonal with gain 0.01, so that the first policy is nearly uniform and early experience
    is not bent towards some arbitrary action.
    """

    def __init__(self, input_size: int, num_parameters: int) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ValueError(f"num_parameters: {num_parameters} given, at least 1 needed")
        self.linear = nn.Linear(input_size, num_parameters)
        nn.init.orthogonal_(self.linear.weight, gain=POLICY_GAIN)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The policy's numbers: logits, where actions are discrete."""
        return self.linear(features)


class ValueHead(nn.Module):
    """Linear map from features ``[..., input_size]`` to one value each, ``[...]``.

    With ``normalise`` the linear map gives values in units of the returns' running mean and standard deviation, and
    what comes out is in the returns' own. When :meth:`follow` moves these, weight and bias are changed such that what
    comes out stays what it was (PopArt; van Hasselt et al. 2016), so that rewards of any size can be learnt from at the
    same rate.
    """

    RATE = 3e-4
    """Of the running averages; at first they are plain averages of all so far."""
    LEAST_SCALE = 1e-2

    def __init__(self, input_size: int, normalise: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 1)
        initialise_(self)
        self.normalise = normalise
        self.moments: Tensor
        if normalise:
            # Mean and mean square of the returns, and how many batches they are of; doubles: they are subtracted.
            self.register_buffer("moments", torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Expected discounted return."""
        value = self.linear(features).squeeze(-1)
        if not self.normalise:
            return value
        mean, scale = self._mean_and_scale()
        return value * scale.to(value.dtype) + mean.to(value.dtype)

    @property
    def scale(self) -> Tensor | None:
        """The unit that values are learnt in; None without ``normalise``."""
        return self._mean_and_scale()[1].to(self.linear.weight.dtype) if self.normalise else None

    @torch.no_grad()
    def follow(self, mean: float, mean_square: float) -> None:
        """Move the running averages towards those of a batch of returns."""
        old_mean, old_scale = self._mean_and_scale()
        count = self.moments[2] + 1
        rate = torch.clamp(1 / count, min=self.RATE)
        self.moments[:2].lerp_(self.moments.new_tensor([mean, mean_square]), rate)
        self.moments[2] = count
        new_mean, new_scale = self._mean_and_scale()
        self.linear.weight.mul_(old_scale / new_scale)
        self.linear.bias.mul_(old_scale / new_scale).add_((old_mean - new_mean) / new_scale)

    def _mean_and_scale(self) -> tuple[Tensor, Tensor]:
        mean, mean_square, _ = self.moments.clone()  # which are about to change where it follows
        return mean, (mean_square - mean**2).clamp(min=self.LEAST_SCALE**2).sqrt()


def sample(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw an action from each policy: logits ``[..., A]`` to int64 ``[...]``.

    ``generator`` must live on the device of the logits. An exponential race: the minimum of E_a / p_a over independent
    E_a ~ Exp(1) falls on a with probability p_a; unlike ``torch.multinomial`` it never waits for the GPU.
    """
    logits = widen(logits)
    return winner(logits, torch.empty_like(logits).exponential_(generator=generator))


def winner(logits: Tensor, race: Tensor) -> Tensor:
    """What :func:`sample` draws if its exponential numbers are ``race``, float32 or wider ``[..., A]``: ``[...]``."""
    return (logits - race.log()).argmax(dim=-1)


def mode(logits: Tensor) -> Tensor:
    """The likeliest action, the lowest number among equals: int64 ``[...]``."""
    return logits.argmax(dim=-1)


def log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """Log-probability of ``action`` (int64 ``[...]``) under logits ``[..., A]``."""
    return torch.log_softmax(widen(logits), dim=-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of each policy in nats, ``[...]``."""
    log_probabilities = torch.log_softmax(widen(logits), dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def widen(logits: Tensor) -> Tensor:
    """In at least float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
