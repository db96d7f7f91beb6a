"""A softmax over words whose weights are the words' embeddings, for a large vocabulary in clusters.

Tied weights: Press and Wolf 2017 (arXiv 1608.05859). Clusters: adaptive softmax, Grave et al. 2017 (arXiv 1609.04309):
the most frequent words and one entry for each cluster of rarer ones make the head; a rare word's probability is its
cluster's times its own within the cluster. In training each row computes the head and one cluster at most. All clusters
have the embedding's full width, because the rows of the embedding are their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TiedSoftmax(nn.Module):
    """Probabilities of words, numbered by frequency, from features and the embedding's weights.

    Args:
        num_words: V.
        width: E, of the embedding.
        cutoffs: the first word of each cluster of rarer words, rising; none: one softmax over all words.

    Raises:
        ValueError: cutoffs that do not rise, or not within 1 .. V - 1.
    """

    def __init__(self, num_words: int, width: int, cutoffs: Sequence[int] = ()) -> None:
        super().__init__()
        bounds = [0, *cutoffs, num_words]
        if any(after <= before for before, after in pairwise(bounds)):
            raise ValueError(f"cutoffs: {list(cutoffs)} given, rising numbers within 1 .. {num_words - 1} needed")
        self.bounds = bounds[1:]
        self.bias = nn.Parameter(torch.zeros(num_words))
        self.clusters = nn.Linear(width, len(cutoffs)) if cutoffs else None
        if self.clusters is not None:
            nn.init.zeros_(self.clusters.weight)
            nn.init.zeros_(self.clusters.bias)

    def judge(self, features: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """How good predictions are.

        Args:
            features: ``[R, E]``.
            targets: int64 ``[R]``, in 0 .. V - 1.
            weight: ``[V, E]``, the embedding's.

        Returns:
            The negative log-probability of each target, ``[R]``, in nats and at least float32; and the most probable
            word of each row, int64 ``[R]``: where gradients are recorded, of those in the head and in the target's
            cluster, since others would be computed for nothing else.
        """
        if self.clusters is None:
            logits = F.linear(features, weight, self.bias)
            return F.cross_entropy(_wide(logits), targets, reduction="none"), logits.detach().argmax(dim=-1)
        head = self._head(features, weight).log_softmax(dim=-1)
        bounds = torch.tensor(self.bounds, device=targets.device)
        cluster = torch.bucketize(targets.contiguous(), bounds, right=True)  # 0: the head
        entry = torch.where(cluster == 0, targets, self.bounds[0] + cluster - 1)
        losses = F.nll_loss(head, entry, reduction="none")
        best, words = head.detach()[:, : self.bounds[0]].max(dim=-1)
        for number, (first, end) in enumerate(pairwise(self.bounds)):
            of_cluster = head.detach()[:, self.bounds[0] + number]
            inside = cluster == number + 1
            # No word of a cluster is more probable than the cluster: elsewhere none can be the best.
            asked_for = inside if torch.is_grad_enabled() else inside | (of_cluster > best)
            rows = asked_for.nonzero()[:, 0]
            within = self._within(features[rows], weight, first, end)
            asked = inside[rows].nonzero()[:, 0]
            own = F.nll_loss(within[asked], targets[rows[asked]] - first, reduction="none")
            losses = losses.index_add(0, rows[asked], own)
            value, word = within.detach().max(dim=-1)
            value = value + of_cluster[rows]
            better = value > best[rows]
            best[rows] = torch.where(better, value, best[rows])
            words[rows] = torch.where(better, word + first, words[rows])
        return losses, words

    def log_probabilities(self, features: Tensor, weight: Tensor) -> Tensor:
        """Of every word, ``[R, V]`` from ``[R, E]``."""
        if self.clusters is None:
            return _wide(F.linear(features, weight, self.bias)).log_softmax(dim=-1)
        head = self._head(features, weight).log_softmax(dim=-1)
        parts = [head[:, : self.bounds[0]]]
        for number, (first, end) in enumerate(pairwise(self.bounds)):
            within = self._within(features, weight, first, end)
            parts.append(within + head[:, self.bounds[0] + number, None])
        return torch.cat(parts, dim=1)

    def _within(self, features: Tensor, weight: Tensor, first: int, end: int) -> Tensor:
        """Log-probabilities of a cluster's words, given the cluster."""
        return _wide(F.linear(features, weight[first:end], self.bias[first:end])).log_softmax(dim=-1)

    def _head(self, features: Tensor, weight: Tensor) -> Tensor:
        """Logits of the frequent words and of the clusters."""
        assert self.clusters is not None
        frequent = F.linear(features, weight[: self.bounds[0]], self.bias[: self.bounds[0]])
        return _wide(torch.cat([frequent, self.clusters(features)], dim=1))


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
