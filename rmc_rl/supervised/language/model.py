"""The model of word-level language modelling (section 4.3, appendix A.4): any memory core between tied word vectors.

::

    words ──▶ embedding ──▶ dropout ──▶ core ──▶ linear ──▶ softmax over words
                  └──────────────────── the same weights ──────┘
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rmc_agents.core import Core, State
from rmc_rl.supervised.language.softmax import TiedSoftmax
from rmc_rl.supervised.layers import mlp
from rmc_rl.supervised.scores import Scores
from rmc_rl.supervised.tasks.task import Batch, StreamTask, at_least


class LanguageModel(nn.Module):
    """Predicts, after each symbol of a stream, the next one.

    Args:
        task: whose symbols; only its sizes are used.
        core: called with an input size, returns a memory core.
        embedding_size: E, width of the vectors that stand for symbols, those read and those predicted.
        hidden_sizes: of an MLP between the core's output and the last linear layer; the paper's model has none.
        dropout: share of the numbers of embedded symbols that training sets to 0.
        cutoffs: clusters of the softmax, see :class:`~rmc_rl.supervised.language.softmax.TiedSoftmax`.

    Raises:
        ValueError: a size below 1, or another option that is not possible.
    """

    def __init__(
        self,
        task: StreamTask,
        core: Callable[[int], Core],
        *,
        embedding_size: int | None = 512,
        hidden_sizes: tuple[int, ...] = (),
        dropout: float = 0.0,
        cutoffs: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if embedding_size is None:
            raise ValueError("embedding_size: None given, a width needed: words are never one-hot")
        at_least(1, embedding_size=embedding_size)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: {dropout} given, a share of at least 0 and below 1 needed")
        self.dropout = dropout
        self.embedding = nn.Embedding(task.num_classes, embedding_size)
        # As logits' weights the vectors must be small, or a new model is sure of words that it knows nothing of.
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.core = core(embedding_size)
        self.head = mlp(self.core.output_size, hidden_sizes, embedding_size)
        self.softmax = TiedSoftmax(task.num_classes, embedding_size, cutoffs)

    def initial_state(self, batch_size: int) -> State:
        """The core's memory before a text, for each of ``batch_size`` streams."""
        return self.core.initial_state(batch_size)

    def judge(
        self, batch: Batch, state: State | None = None, noise: torch.Generator | None = None
    ) -> tuple[Tensor, Scores, State]:
        """The loss of all predictions that count, added up, their scores, and the memory after them.

        Args:
            batch: windows of B streams.
            state: the memory before them; None: as before a text.
            noise: where dropout draws from; None: there is none, as in an evaluation.
        """
        features, state = self.features(batch.inputs, batch.reset, state, noise)
        rows, targets = features.flatten(0, 1), batch.targets.flatten()
        losses, words = self.softmax.judge(rows, targets, self.embedding.weight)
        loss = torch.where(batch.mask.flatten(), losses, 0.0).sum()
        right = (words == targets).unflatten(0, batch.mask.shape)
        return loss, Scores.of(loss.detach(), right, batch.mask), state

    def forward(
        self, inputs: Tensor, reset: Tensor, num_answers: int, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Log-probabilities ``[A, B, V]`` of the symbol after each of the last A of T rows, and the memory after them.

        Args:
            inputs: ``[T, B]`` symbols.
            reset: bool ``[T, B]``, where a text begins.
            num_answers: A.
            state: the memory before row 0; None: as before a text.
        """
        features, state = self.features(inputs, reset, state)
        answered = features[-num_answers:]
        found = self.softmax.log_probabilities(answered.flatten(0, 1), self.embedding.weight)
        return found.unflatten(0, answered.shape[:2]), state

    def features(
        self, inputs: Tensor, reset: Tensor, state: State | None = None, noise: torch.Generator | None = None
    ) -> tuple[Tensor, State]:
        """What the softmax is given, ``[T, B, E]``, and the memory after row T - 1; arguments as above."""
        if state is None:
            state = self.initial_state(reset.shape[1])
        rows = self.embedding(inputs)
        if noise is not None and self.dropout > 0.0:
            kept = torch.empty_like(rows).bernoulli_(1.0 - self.dropout, generator=noise)
            rows = rows * kept / (1.0 - self.dropout)
        outputs, state = self.core(rows, state, reset)
        return self.head(outputs), state
