"""How good answers are: the loss that is trained on, and the shares of right characters and of wholly right sequences.

All take logits ``[A, B, C]``, targets ``[A, B]`` and the mask ``[A, B]`` of the answers that count
(:class:`~rmc_rl.supervised.tasks.task.Batch`), and look at no number, so that a GPU is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The mean over the answers that count, in nats and at least float32; 0 where none does."""
    return sequence_loss(logits, targets, mask).sum() / mask.sum().clamp(min=1)


def sequence_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The sum over each sequence's answers that count, ``[B]``, in nats and at least float32."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = F.cross_entropy(wide.flatten(0, 1), targets.flatten(), reduction="none")
    # Selected, not multiplied: what does not count may be infinite.
    return torch.where(mask, losses.unflatten(0, targets.shape), 0.0).sum(dim=0)


@dataclass(frozen=True)
class Scores:
    """Sums over answers and sequences, each a tensor without axes; those of parts of a test are added up.

    Attributes:
        loss: cross-entropy, in nats.
        right: answers whose likeliest class is the target.
        answers: answers that count.
        solved: sequences all of whose answers are right.
        sequences: sequences with an answer that counts.
    """

    loss: Tensor
    right: Tensor
    answers: Tensor
    solved: Tensor
    sequences: Tensor

    @classmethod
    def of(cls, loss: Tensor, right: Tensor, mask: Tensor) -> Scores:
        """From the loss of all answers that count, added up, and bool ``[A, B]``: which are right, and which count."""
        counts = mask.any(dim=0)
        return cls(
            loss=loss.double(),
            right=(right & mask).sum(),
            answers=mask.sum(),
            solved=((right | ~mask).all(dim=0) & counts).sum(),
            sequences=counts.sum(),
        )

    def __add__(self, other: Scores) -> Scores:
        return Scores(*(mine + yours for mine, yours in zip(vars(self).values(), vars(other).values(), strict=True)))

    def as_tensor(self) -> Tensor:
        """All of them, float64 ``[5]``."""
        return torch.stack([value.double() for value in vars(self).values()])

    def means(self) -> dict[str, float]:
        """``loss`` and ``accuracy`` of an answer, and the share of sequences ``solved``; NaN where there were none."""
        loss, right, answers, solved, sequences = self.as_tensor().unbind()
        means = {"loss": loss / answers, "accuracy": right / answers, "solved": solved / sequences}
        return {name: float(mean) for name, mean in means.items()}


@torch.no_grad()
def score(logits: Tensor, targets: Tensor, mask: Tensor) -> Scores:
    """The scores of one batch."""
    loss = sequence_loss(logits, targets, mask).sum(dtype=torch.float64)
    return Scores.of(loss, logits.argmax(dim=-1) == targets, mask)
