"""Actions: what a policy head's numbers mean for each kind of action space.

A policy is given by P numbers ``[..., P]``. Each kind here says how many there are, and what sampling, likelihood and
entropy are under them; that is all that acting and learning need of it. They work in at least float32, whatever
narrower type the network ran in, because the ratio of two policies' probabilities is what off-policy correction rests
on.

================  ========================================  ===========================================
kind              an action                                 the P numbers
================  ========================================  ===========================================
`Discrete`        int64 ``[...]``, one of n                 n logits
`MultiDiscrete`   int64 ``[..., K]``, one of n_k each       the logits of all K, one after the other
`Continuous`      float32 ``[..., D]``, before the bounds   D means, then D numbers that set the spread
================  ========================================  ===========================================
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from rmc_agents import heads


class Actions:
    """Base of all kinds.

    Attributes:
        kind: the name it is stored under.
        num_parameters: P, the numbers that make a policy.
        parameters_name: what they are.
        num_features: E, the size of what a core reads of the last action.
        num_random: R, the random numbers that one sample takes.
        num_quantiles: Q, the numbers that :meth:`at_quantiles` takes: one for each component of an action.
        shape: of one action.
        dtype: of actions.
    """

    kind: ClassVar[str]
    parameters_name: ClassVar[str] = "logits"

    def __init__(
        self,
        *,
        parameters: int,
        features: int,
        random: int,
        quantiles: int,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.int64,
    ) -> None:
        self.num_parameters = parameters
        self.num_features = features
        self.num_random = random
        self.num_quantiles = quantiles
        self.shape = shape
        self.dtype = dtype

    def encode(self, action: Tensor, absent: Tensor) -> Tensor:
        """What a core reads of the last action: ``[..., E]``, zero where it is ``absent`` (bool ``[...]``)."""
        raise NotImplementedError

    def draw_(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Fill ``[..., R]`` with the random numbers that :meth:`choose` takes; from a generator on its device."""
        raise NotImplementedError

    def choose(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The action that a policy's parameters ``[..., P]`` and random numbers of :meth:`draw_` make."""
        raise NotImplementedError

    def at_quantiles(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        """By the inverse of the distribution function, from numbers ``[..., Q]`` evenly spread over [0, 1)."""
        raise NotImplementedError

    def mode(self, parameters: Tensor) -> Tensor:
        """The likeliest action."""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, action: Tensor) -> Tensor:
        """Log-probability (log-density where actions are continuous) of an action, ``[...]``."""
        raise NotImplementedError

    def entropy(self, parameters: Tensor) -> Tensor:
        """Entropy of each policy in nats, ``[...]``."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action from each policy; ``generator`` must live on the device of the parameters."""
        noise = parameters.new_empty(*parameters.shape[:-1], self.num_random, dtype=_at_least_float32(parameters))
        return self.choose(parameters, self.draw_(noise, generator))

    def _described(self) -> dict[str, Any]:
        """What the constructor takes, as JSON can hold it."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Kind and size, as JSON can hold them: two of the same are equal."""
        return {"kind": self.kind, **self._described()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Actions) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self._described().items())
        return f"{type(self).__name__}({arguments})"


class Discrete(Actions):
    """One of n actions, by a categorical distribution.

    Raises:
        ValueError: n below 1.
    """

    kind = "discrete"

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"n: {n} given, at least 1 action needed")
        super().__init__(parameters=n, features=n, random=n, quantiles=1, shape=())
        self.n = n

    def _described(self) -> dict[str, Any]:
        return {"n": self.n}

    def encode(self, action: Tensor, absent: Tensor) -> Tensor:
        """One-hot; all zero, not that of action 0, where it is absent."""
        # Not torch.nn.functional.one_hot, which knows no absent action.
        numbers = torch.arange(self.n, device=action.device)
        return (action.unsqueeze(-1) == numbers) & ~absent.unsqueeze(-1)

    def draw_(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Exponentially distributed, one for each action."""
        return noise.exponential_(generator=generator)

    def choose(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The winner of the race that :func:`rmc_agents.heads.winner` describes."""
        return heads.winner(heads.widen(parameters), noise)

    def at_quantiles(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        """Of the categorical distribution."""
        return _categorical_quantile(parameters, uniform[..., 0])

    def mode(self, parameters: Tensor) -> Tensor:
        """The likeliest action, the lowest number among equals."""
        return heads.mode(parameters)

    def log_prob(self, parameters: Tensor, action: Tensor) -> Tensor:
        """Of the categorical distribution."""
        return heads.log_prob(parameters, action)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Of the categorical distribution."""
        return heads.entropy(parameters)


class MultiDiscrete(Actions):
    """One of n_k for each of K components, which are chosen independently of each other.

    Args:
        sizes: n_k, at least 1 each.

    Raises:
        ValueError: no component, or one of no choices.
    """

    kind = "multi-discrete"

    def __init__(self, sizes: Sequence[int]) -> None:
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes: {list(sizes)} given, components of at least 1 choice each needed")
        count, total = len(sizes), sum(sizes)
        super().__init__(parameters=total, features=total, random=total, quantiles=count, shape=(count,))
        self.sizes = tuple(sizes)

    def _described(self) -> dict[str, Any]:
        return {"sizes": list(self.sizes)}

    def encode(self, action: Tensor, absent: Tensor) -> Tensor:
        """All components' one-hots; all zero where it is absent."""
        parts = zip(self.sizes, action.unbind(-1), strict=True)
        one_hots = [part.unsqueeze(-1) == torch.arange(n, device=action.device) for n, part in parts]
        return torch.cat(one_hots, dim=-1) & ~absent.unsqueeze(-1)

    def draw_(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Exponentially distributed, one for each choice."""
        return noise.exponential_(generator=generator)

    def choose(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Each component's winner, as :func:`rmc_agents.heads.winner` describes it."""
        pairs = zip(self._split(heads.widen(parameters)), self._split(noise), strict=True)
        return torch.stack([heads.winner(logits, race) for logits, race in pairs], dim=-1)

    def at_quantiles(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        """One number for each component."""
        pairs = zip(self._split(parameters), uniform.unbind(-1), strict=True)
        return torch.stack([_categorical_quantile(logits, number) for logits, number in pairs], dim=-1)

    def mode(self, parameters: Tensor) -> Tensor:
        """Each component's likeliest choice."""
        return torch.stack([heads.mode(logits) for logits in self._split(parameters)], dim=-1)

    def log_prob(self, parameters: Tensor, action: Tensor) -> Tensor:
        """Summed over the components."""
        pairs = zip(self._split(parameters), action.unbind(-1), strict=True)
        return torch.stack([heads.log_prob(logits, part) for logits, part in pairs]).sum(0)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Summed over the components."""
        return torch.stack([heads.entropy(logits) for logits in self._split(parameters)]).sum(0)

    def _split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        return parameters.split(self.sizes, dim=-1)


_LEAST_LOG_STD, _GREATEST_LOG_STD = -5.0, 1.0
_NUM_NODES = 20


@functools.cache
def _quadrature() -> tuple[list[float], list[float]]:
    """Nodes and weights of Gauss-Hermite quadrature: of the mean of a function of a standard normal number.

    By Golub and Welsch (1969): eigenvalues, and the squared first components of the eigenvectors, of the Jacobi matrix.
    """
    beside = torch.arange(1.0, _NUM_NODES, dtype=torch.float64, device="cpu").sqrt()
    nodes, vectors = torch.linalg.eigh(beside.diag(1) + beside.diag(-1))
    return nodes.tolist(), vectors[0].square().tolist()


class Continuous(Actions):
    """D real numbers, independently normal, those with bounds squashed into them.

    An action is kept as it was drawn, u ~ N(mean, std): what the environment gets of a bounded component is tanh(u),
    scaled to its bounds. The density of that differs from the density of u by a factor that depends on u alone, so it
    cancels in every ratio of two policies and has no gradient: :meth:`log_prob` is that of u. The entropy is that of
    what the environment gets (its bounds taken as -1 and 1), by quadrature: that of u could grow for ever, with all
    actions at the bounds.

    The standard deviation lies between e^-5 and e^1 and is 1 where its parameter is 0.

    Args:
        bounded: for each component whether it has bounds.

    Raises:
        ValueError: no component.
    """

    kind = "continuous"
    parameters_name = "mean_and_spread"

    def __init__(self, bounded: Sequence[bool]) -> None:
        if not bounded:
            raise ValueError("bounded: [] given, at least 1 component needed")
        size = len(bounded)
        super().__init__(
            parameters=2 * size, features=size, random=size, quantiles=size, shape=(size,), dtype=torch.float32
        )
        self.bounded = tuple(bounded)

    def _described(self) -> dict[str, Any]:
        return {"bounded": list(self.bounded)}

    def encode(self, action: Tensor, absent: Tensor) -> Tensor:
        """tanh(u) of bounded components, u / (1 + |u|) of others; 0 where it is absent."""
        return torch.where(absent.unsqueeze(-1), 0.0, self._by_bounds(action, torch.tanh(action), F.softsign(action)))

    def squash(self, action: Tensor) -> Tensor:
        """What the environment gets: tanh(u) of bounded components, to be scaled to the bounds; others as they are."""
        return self._by_bounds(action, torch.tanh(action), action)

    def mean_and_log_std(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Of u, each ``[..., D]``."""
        mean, spread = heads.widen(parameters).chunk(2, dim=-1)
        least, greatest = _LEAST_LOG_STD, _GREATEST_LOG_STD
        at_zero = math.log(-least / greatest)  # so that log_std is 0 where the parameter is
        return mean, least + (greatest - least) * torch.sigmoid(spread + at_zero)

    def draw_(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Normally distributed."""
        return noise.normal_(generator=generator)

    def choose(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """mean + std * noise."""
        mean, log_std = self.mean_and_log_std(parameters)
        return (mean + log_std.exp() * noise).to(self.dtype)

    def at_quantiles(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        """By the inverse of the normal distribution function."""
        eps = torch.finfo(torch.float64).tiny  # 0 would be at minus infinity
        return self.choose(parameters, torch.special.ndtri(uniform.double().clamp(min=eps)))

    def mode(self, parameters: Tensor) -> Tensor:
        """The mean of u."""
        return self.mean_and_log_std(parameters)[0].to(self.dtype)

    def log_prob(self, parameters: Tensor, action: Tensor) -> Tensor:
        """The log-density of u."""
        mean, log_std = self.mean_and_log_std(parameters)
        z = (action - mean) * torch.exp(-log_std)
        return (-0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Of what the environment gets, bounds taken as -1 and 1."""
        mean, log_std = self.mean_and_log_std(parameters)
        of_u = log_std + 0.5 * math.log(2 * math.pi * math.e)
        nodes, weights = (torch.tensor(x, dtype=mean.dtype, device=mean.device) for x in _quadrature())
        u = mean.unsqueeze(-1) + log_std.exp().unsqueeze(-1) * nodes  # [..., D, nodes]
        log_slope = 2 * (math.log(2) - u - F.softplus(-2 * u))  # of tanh
        squashed = of_u + (log_slope * weights).sum(-1)
        return self._by_bounds(mean, squashed, of_u).sum(-1)

    def _by_bounds(self, like: Tensor, bounded: Tensor, unbounded: Tensor) -> Tensor:
        if all(self.bounded):
            return bounded
        return torch.where(torch.tensor(self.bounded, device=like.device), bounded, unbounded)


def _categorical_quantile(logits: Tensor, uniform: Tensor) -> Tensor:
    reached = torch.softmax(logits.double(), dim=-1).cumsum(-1) > uniform.unsqueeze(-1)
    # Where rounding keeps the sum below the number, it is the last one.
    return torch.where(reached.any(-1), reached.int().argmax(-1), logits.shape[-1] - 1)


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
