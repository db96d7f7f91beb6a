"""Models that know: their answers follow from what they are shown, so what an analysis must find is known too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmc_agents import Trace
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.models import SequenceModel
from rmc_rl.supervised.tasks import Task, make_task
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import Trained

Answers = Callable[[Tensor, Tensor, int], Tensor]
"""From inputs, reset and the number of answers A to classes ``[A, B]``."""


class Oracle(nn.Module):
    """Answers as a function says; its attention, where it has any, is given."""

    def __init__(self, answers: Answers, classes: int, attention: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.answers, self.classes, self.attention = answers, classes, attention

    def forward(self, inputs: Tensor, reset: Tensor, num_answers: int) -> tuple[Tensor, Tensor]:
        logits = 10.0 * F.one_hot(self.answers(inputs, reset, num_answers), self.classes)
        return logits, torch.zeros(0)

    def trace(self, inputs: Tensor, reset: Tensor, num_answers: int) -> Trace:
        nothing = torch.zeros(len(inputs), inputs.shape[1], 1)
        return Trace(nothing, nothing, nothing, attention=self.attention and self.attention(inputs))


def trained(answers: Answers, *words: str, attention: Callable[[Tensor], Tensor] | None = None) -> Trained:
    """As if read from a run of ``words``."""
    config = SUPERVISED.make(*words)
    task: Task = make_task(**cast(dict[str, Any], config.task))
    model = cast(SequenceModel, Oracle(answers, task.num_classes, attention))
    return Trained(task, model, config, Path("run"), 7)


def follow(done: int, total: int) -> None:
    """For analyses that nobody waits for."""
    assert 0 < done <= total


def asked_of(inputs: Tensor, num_vectors: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of rows ``[T, B, I]`` of Nth Farthest: vectors ``[B, T, D]``, labels ``[B, T]``, n and m ``[B]``."""
    rows = inputs.transpose(0, 1)
    dimensions = rows.shape[2] - 3 * num_vectors
    vectors, *one_hot = rows.split([dimensions, num_vectors, num_vectors, num_vectors], dim=2)
    labels, n, m = (part.argmax(dim=2) for part in one_hot)
    return vectors, labels, n[:, 0], m[:, 0]


def ranking(inputs: Tensor, num_vectors: int) -> Tensor:
    """Labels ``[B, N]``, the farthest from vector m first, by plain Euclidean distances."""
    vectors, labels, _, m = asked_of(inputs, num_vectors)
    reference = torch.stack([vectors[i, labels[i].tolist().index(int(m[i]))] for i in range(len(m))])
    apart = torch.linalg.vector_norm(vectors - reference[:, None], dim=2)
    return labels.gather(1, apart.argsort(dim=1, descending=True))


def knows_all(num_vectors: int) -> Answers:
    """Answers Nth Farthest rightly."""

    def answers(inputs: Tensor, reset: Tensor, num_answers: int) -> Tensor:
        n = asked_of(inputs, num_vectors)[2]
        return ranking(inputs, num_vectors).gather(1, n[:, None]).t()

    return answers


def names_reference(num_vectors: int) -> Answers:
    """Answers vector m whatever is asked."""
    return lambda inputs, reset, num_answers: asked_of(inputs, num_vectors)[3][None]


def off_by_one(num_vectors: int) -> Answers:
    """Names the next nearer vector; of m itself, m."""

    def answers(inputs: Tensor, reset: Tensor, num_answers: int) -> Tensor:
        n = asked_of(inputs, num_vectors)[2]
        return ranking(inputs, num_vectors).gather(1, (n + 1).clamp(max=len(inputs) - 1)[:, None]).t()

    return answers


def nth(task: Task) -> NthFarthest:
    assert isinstance(task, NthFarthest)
    return task
