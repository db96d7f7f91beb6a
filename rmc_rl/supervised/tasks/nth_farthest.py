"""Nth Farthest (Santoro et al. 2018, section 4.1, appendix A.1): which vector is the n-th farthest from vector m?

N random vectors are shown one by one, each with its label. Labels are a random permutation, so a label says nothing of
when its vector is shown. Every row also carries the question; the answer, a label, is due at the last row. To give it a
memory must compare vectors that it has seen at different times, all with one of them::

    row t = [vector (D); its label (N); n (N); m (N)]       label, n and m one-hot

n = 1 asks for the farthest, n = N for the nearest: vector m itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rmc_rl.supervised.tasks.task import Batch, Stage, Task, at_least, check_batch, register_task


@register_task("nth_farthest")
class NthFarthest(Task):
    """Which vector is the n-th farthest from vector m?

    A batch's details, in which the smallest label and the smallest n are 0; all its questions are about K <= N vectors:

    =========== ========= ===================================================
    vectors     [B, K, D] in the order shown, uniform in (-1, 1)
    labels      [B, K]    of the vectors in the order shown, 0 .. K - 1
    n, m        [B]       the question
    order       [B, K]    when each vector was shown, the farthest from m first
    =========== ========= ===================================================

    Args:
        num_vectors: N. Evaluation asks about so many.
        dimensions: D.
        min_vectors: of the vectors in training, whose number is drawn anew for each batch, uniform up to N; ``None``:
            always N, as in the paper.

    Attributes:
        fewest: that training shows.
        most: that a batch shows; smaller than N in a copy that asks about fewer.

    Raises:
        ValueError: fewer than 2 vectors, or than 1 dimension, or a smallest number above N.
    """

    def __init__(self, *, num_vectors: int = 8, dimensions: int = 16, min_vectors: int | None = None) -> None:
        at_least(2, num_vectors=num_vectors)
        at_least(1, dimensions=dimensions)
        self.fewest = num_vectors if min_vectors is None else min_vectors
        at_least(2, min_vectors=self.fewest)
        if self.fewest > num_vectors:
            raise ValueError(f"min_vectors: {min_vectors} given, at most num_vectors ({num_vectors}) possible")
        self.num_vectors = self.most = num_vectors
        self.dimensions = dimensions
        self.input_size = dimensions + 3 * num_vectors
        self.num_classes = num_vectors

    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        """New questions; those of evaluation are about the greatest number of vectors."""
        check_batch(size, stage)
        device, count = generator.device, self.most
        if stage == "train" and self.fewest < count:
            count = int(torch.randint(self.fewest, count + 1, (), generator=generator, device=device))
        vectors = 2 * torch.rand(size, count, self.dimensions, generator=generator, device=device) - 1
        labels = torch.rand(size, count, generator=generator, device=device).argsort(dim=1)
        n, m = torch.randint(count, (2, size), generator=generator, device=device)
        return self.pose(vectors, labels, n, m)

    def pose(self, vectors: Tensor, labels: Tensor, n: Tensor, m: Tensor) -> Batch:
        """The batch with these details."""
        size, count = labels.shape
        width = self.num_vectors
        is_m = labels == m.unsqueeze(1)  # [B, N]
        reference = vectors.gather(1, is_m.int().argmax(dim=1)[:, None, None].expand(-1, 1, self.dimensions))
        order = (vectors - reference).square().sum(dim=2).argsort(dim=1, descending=True)
        target = labels.gather(1, order.gather(1, n.unsqueeze(1)))
        asked = F.one_hot(torch.stack([n, m], dim=1), width).flatten(1)  # [B, 2N]
        rows = torch.cat([vectors, F.one_hot(labels, width), asked.unsqueeze(1).expand(-1, count, -1)], dim=2)
        reset = torch.zeros(count, size, dtype=torch.bool, device=labels.device)
        reset[0] = True
        return Batch(
            inputs=rows.transpose(0, 1).contiguous(),  # [T, B, I]
            reset=reset,
            targets=target.t(),  # [1, B]
            mask=torch.ones(1, size, dtype=torch.bool, device=labels.device),
            details={"vectors": vectors, "labels": labels, "n": n, "m": m, "order": order},
        )

    def question(self, batch: Batch, item: int) -> str:
        """n and m, counted from 1."""
        n, m = (int(batch.details[name][item]) + 1 for name in ("n", "m"))
        return f"which vector is number {n} by distance from vector {m}, the farthest first?"

    def answer(self, classes: Tensor, mask: Tensor) -> str:
        """A label, counted from 1."""
        return str(int(classes[0]) + 1)


def trivial_accuracies(task: NthFarthest, generator: torch.Generator, samples: int = 100_000) -> dict[str, float]:
    """How often one is right without relating one vector to another: only above all of these a model does relate.

    ``chance``: a guess among all labels. ``reference``: vector m itself where it is asked for, a guess among the others
    elsewhere; so much a model gets from the question alone, and there training rests for long. ``norm``: vector m as
    above, the others ranked by their own lengths, because a long vector is likely to be far from any other; measured on
    so many samples, of which the standard error is at most 0.5 / sqrt(samples).
    """
    right = seen = 0
    while seen < samples:
        batch = task.batch(min(samples - seen, 10_000), generator, "evaluation")
        labels, n, m = (batch.details[name] for name in ("labels", "n", "m"))
        lengths = batch.details["vectors"].square().sum(dim=2).masked_fill(labels == m.unsqueeze(1), -1.0)
        guess = lengths.argsort(dim=1, descending=True).gather(1, n.unsqueeze(1))
        right += int((labels.gather(1, guess).t() == batch.targets).sum())
        seen += batch.targets.shape[1]
    return {"chance": 1 / task.num_vectors, "reference": 2 / task.num_vectors, "norm": right / seen}
