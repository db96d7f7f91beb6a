"""Scores of many batches of sequences whose answers are several: per answer, per place of an answer, per sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rmc_rl.shares import Share, clustered, independent, percent
from rmc_rl.supervised.scores import Scores, score
from rmc_rl.supervised.tasks import Batch


class Tally:
    """Adds up batches; A may differ among them.

    Attributes:
        scores: their sums; None before the first batch.
    """

    def __init__(self) -> None:
        self.scores: Scores | None = None
        self._right: list[Tensor] = []  # [B] each: right answers
        self._count: list[Tensor] = []  # [B] each: answers that count
        self._places: Tensor | None = None  # [A, 2]: right, count
        self._targets: Tensor | None = None  # [A, C]: how often each class is right

    def add(self, batch: Batch, logits: Tensor) -> None:
        """A batch and its logits ``[A, B, C]``."""
        scores = score(logits, batch.targets, batch.mask)
        self.scores = scores if self.scores is None else self.scores + scores
        right = (logits.argmax(dim=-1) == batch.targets) & batch.mask
        self._right.append(right.sum(dim=0))
        self._count.append(batch.mask.sum(dim=0))
        self._places = _added(self._places, torch.stack([right.sum(dim=1), batch.mask.sum(dim=1)], dim=1))
        classes = F.one_hot(batch.targets, logits.shape[-1]) * batch.mask.unsqueeze(-1)
        self._targets = _added(self._targets, classes.sum(dim=1))

    @property
    def answers(self) -> Share:
        """Of all answers that count."""
        return clustered(torch.cat(self._right), torch.cat(self._count))

    @property
    def solved(self) -> Share:
        """Of sequences with an answer that counts: all answers right."""
        right, count = torch.cat(self._right), torch.cat(self._count)
        return independent((right == count)[count > 0])

    @property
    def places(self) -> list[Share]:
        """Of the answers at each place, the first first."""
        assert self._places is not None
        return [Share(right, count, count) for right, count in self._places.tolist()]

    @property
    def constant(self) -> float:
        """The share of right answers of who gives, at each place, always the class that is right there most often."""
        assert self._targets is not None
        return float(self._targets.amax(dim=1).sum() / self._targets.sum())

    @property
    def loss(self) -> float:
        """Cross-entropy of an answer, in nats."""
        assert self.scores is not None
        return self.scores.means()["loss"]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "answers": self.answers.as_json(),
            "solved": self.solved.as_json(),
            "constant": self.constant,
            "loss": self.loss,
            "places": [place.as_json() for place in self.places],
        }


def _added(total: Tensor | None, more: Tensor) -> Tensor:
    """The sum of ``[A, ...]`` over batches, of which some have more answers than others."""
    if total is None:
        return more
    longest = max(len(total), len(more))
    total, more = (F.pad(part, (0, 0, 0, longest - len(part))) for part in (total, more))
    return total + more


def score_row(tally: Tally) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Headings and words of a table's row."""
    columns = ("answers right", "95 %", "constant", "sequences solved", "95 %", "sequences", "nats per answer")
    row = (
        *tally.answers.words,
        percent(tally.constant),
        *tally.solved.words,
        f"{tally.solved.count:,}",
        f"{tally.loss:.3f}",
    )
    return columns, row
