"""How difficult the samples of training are (appendix A.2): up to which literal length, up to which nesting.

Evaluation always takes the greatest of both. The paper trains with ``mix``. The others come with its released
generator, whose source says that they grow, not by which order and measure; here a level grows first in length, then in
nesting, whenever the mean loss of so many updates has fallen by less than `STALL` against that of as many before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rmc_rl.supervised.tasks.task import Stage, at_least

CURRICULA = ("baseline", "naive", "mix", "combine")

STALL = 0.01
"""Nats of cross-entropy: less progress than this is none."""


class Curriculum:
    """Draws the difficulty of samples.

    Args:
        name: ``"baseline"``: always the greatest; ``"naive"``: all samples of the current level; ``"mix"``: both
            uniform up to the greatest; ``"combine"``: both uniform up to the current level.
        max_length: digits of a literal at most.
        max_nesting: operations within one another at most.
        patience: updates over which the loss is averaged before it is asked whether it stalls.

    Raises:
        ValueError: an unknown name, or a number below 1.
    """

    def __init__(self, name: str, max_length: int, max_nesting: int, patience: int) -> None:
        if name not in CURRICULA:
            raise ValueError(f"curriculum: {name!r} given, one of {list(CURRICULA)} needed")
        at_least(1, length=max_length, nesting=max_nesting, patience=patience)
        self.name = name
        self.max_length, self.max_nesting = max_length, max_nesting
        self.patience = patience
        grows = name in ("naive", "combine")
        self.length, self.nesting = (1, 1) if grows else (max_length, max_nesting)
        self._total: Tensor | float = 0.0
        self._updates = 0
        self._last_mean = math.inf

    def draw(self, size: int, generator: torch.Generator, stage: Stage) -> tuple[Tensor, Tensor]:
        """Literal length and nesting of each sample, int64 ``[size]``."""
        length, nesting = self.length, self.nesting
        if stage == "evaluation":
            length, nesting = self.max_length, self.max_nesting
        if stage == "train" and self.name in ("mix", "combine"):
            lengths, nestings = (
                torch.randint(1, most + 1, (size,), generator=generator, device=generator.device)
                for most in (length, nesting)
            )
            return lengths, nestings
        return torch.full((size,), length, device=generator.device), torch.full(
            (size,), nesting, device=generator.device
        )

    def follow(self, loss: Tensor) -> None:
        """Grow by one where the loss stalls. A GPU is waited for once in ``patience`` updates only."""
        if (self.length, self.nesting) == (self.max_length, self.max_nesting):
            return
        self._total = self._total + loss.detach().double()
        self._updates += 1
        if self._updates < self.patience:
            return
        mean = float(self._total) / self._updates
        stalls = self._last_mean - mean < STALL
        self._total, self._updates, self._last_mean = 0.0, 0, mean
        if stalls:
            self._last_mean = math.inf  # losses of another level say nothing of this one
            if self.length < self.max_length:
                self.length += 1
            else:
                self.nesting += 1

    def state_dict(self) -> dict[str, float]:
        """The level and the losses seen at it."""
        return {
            "length": self.length,
            "nesting": self.nesting,
            "total": float(self._total),
            "updates": self._updates,
            "last_mean": self._last_mean,
        }

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from :meth:`state_dict`. A level beyond this curriculum's greatest is taken as the greatest."""
        self.length = min(int(state["length"]), self.max_length)
        self.nesting = min(int(state["nesting"]), self.max_nesting)
        self._total, self._updates = float(state["total"]), int(state["updates"])
        self._last_mean = float(state["last_mean"])
