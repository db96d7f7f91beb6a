from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rmc_rl.supervised.tasks.nth_farthest import NthFarthest, trivial_accuracies


def answer_from(rows: Tensor, num_vectors: int) -> int:
    """The right class of one sequence ``[T, I]``, from nothing but what a model sees."""
    dimensions = rows.shape[1] - 3 * num_vectors
    vectors, questions = {}, set()
    for row in rows.tolist():
        vector, rest = row[:dimensions], row[dimensions:]
        label, n, m = (rest[i * num_vectors : (i + 1) * num_vectors] for i in range(3))
        for one_hot in (label, n, m):
            assert sorted(one_hot) == [0.0] * (num_vectors - 1) + [1.0]
        vectors[label.index(1.0)] = vector
        questions.add((n.index(1.0), m.index(1.0)))
    assert sorted(vectors) == list(range(len(rows)))
    ((n, m),) = questions
    return sorted(vectors, key=lambda label: math.dist(vectors[label], vectors[m]), reverse=True)[n]


@pytest.mark.parametrize(("num_vectors", "dimensions"), [(2, 1), (4, 8), (8, 16), (8, 32)])
def test_answers_are_those_of_an_evaluator_that_sees_the_rows(num_vectors: int, dimensions: int) -> None:
    task = NthFarthest(num_vectors=num_vectors, dimensions=dimensions)
    batch = task.batch(200, torch.Generator().manual_seed(0))
    assert batch.inputs.shape == (num_vectors, 200, dimensions + 3 * num_vectors)
    assert batch.mask.all()
    assert batch.targets.tolist() == [[answer_from(rows, num_vectors) for rows in batch.inputs.unbind(1)]]


def test_training_may_show_fewer_vectors_and_evaluation_shows_all() -> None:
    task = NthFarthest(num_vectors=5, dimensions=3, min_vectors=2)
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(60):
        batch = task.batch(20, generator)
        shown = len(batch.inputs)
        seen.append(shown)
        assert batch.inputs.shape == (shown, 20, task.input_size)
        assert batch.targets.tolist() == [[answer_from(rows, 5) for rows in batch.inputs.unbind(1)]]
        assert len(task.batch(3, generator, "evaluation").inputs) == 5
    assert all(3 < seen.count(shown) < 30 for shown in range(2, 6)), seen


def test_always_all_vectors_are_the_questions_that_they_were() -> None:
    """What a seed asks must not change: results name their seeds."""
    plain, given = (NthFarthest(num_vectors=4, dimensions=2, **words) for words in ({}, {"min_vectors": 4}))
    batches = [task.batch(3, torch.Generator().manual_seed(5)) for task in (plain, given)]
    torch.testing.assert_close(batches[0].inputs, batches[1].inputs, rtol=0, atol=0)
    assert batches[0].details["labels"].tolist() == [[1, 2, 3, 0], [2, 3, 0, 1], [0, 1, 3, 2]]
    assert batches[0].targets.tolist() == [[2, 0, 3]]


def test_an_example_by_hand() -> None:
    """On a line at 0.5, -1, 0.9, with labels 2, 3, 1: from 0.5 (vector 2) it is 0.4 to vector 1 and 1.5 to vector 3."""
    task = NthFarthest(num_vectors=3, dimensions=1)
    vectors = torch.tensor([[[0.5], [-1.0], [0.9]]]).expand(3, -1, -1)
    labels = torch.tensor([[1, 2, 0]]).expand(3, -1)
    batch = task.pose(vectors, labels, n=torch.tensor([0, 1, 2]), m=torch.tensor([1, 1, 1]))
    assert batch.targets.tolist() == [[2, 0, 1]]
    assert batch.details["order"].tolist() == [[1, 2, 0]] * 3
    assert batch.inputs[:, 1].tolist() == [
        [0.5, *(0, 1, 0), *(0, 1, 0), *(0, 1, 0)],
        [-1.0, *(0, 0, 1), *(0, 1, 0), *(0, 1, 0)],
        [pytest.approx(0.9), *(1, 0, 0), *(0, 1, 0), *(0, 1, 0)],
    ]
    assert batch.reset.tolist() == [[True] * 3, [False] * 3, [False] * 3]
    assert task.question(batch, 0) == "which vector is number 1 by distance from vector 2, the farthest first?"
    assert task.answer(batch.targets[:, 0], batch.mask[:, 0]) == "3"


def test_questions_and_labels_are_uniform() -> None:
    task = NthFarthest(num_vectors=4, dimensions=2)
    details = task.batch(40_000, torch.Generator().manual_seed(0)).details
    pairs = torch.bincount(4 * details["n"] + details["m"], minlength=16) / 40_000
    assert (pairs - 1 / 16).abs().max() < 5 * math.sqrt(1 / 16 / 40_000)
    for position in details["labels"].t():
        assert (torch.bincount(position, minlength=4) / 40_000 - 1 / 4).abs().max() < 5 * math.sqrt(0.19 / 40_000)
    vectors = details["vectors"]
    assert -1 <= vectors.min() < -0.999
    assert 0.999 < vectors.max() <= 1
    assert vectors.mean().item() == pytest.approx(0, abs=0.01)
    assert vectors.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_the_trivial_accuracies_of_the_papers_size() -> None:
    """12.5 %, 24.9 % and 30.4 % by the reference measurement."""
    found = trivial_accuracies(NthFarthest(), torch.Generator().manual_seed(0), samples=40_000)
    assert found["chance"] == pytest.approx(0.125)
    assert found["reference"] == pytest.approx(0.249, abs=0.003)
    assert found["norm"] == pytest.approx(0.304, abs=0.007)  # three standard errors


def test_trivial_accuracies_of_two_vectors_are_all_there_is() -> None:
    """Of two vectors, one is m and the other is not."""
    found = trivial_accuracies(
        NthFarthest(num_vectors=2, dimensions=3), torch.Generator().manual_seed(0), samples=12_345
    )
    assert found == {"chance": 0.5, "reference": 1.0, "norm": 1.0}


def test_the_reference_baseline_is_what_guessing_gives() -> None:
    task = NthFarthest(num_vectors=5, dimensions=3)
    generator = torch.Generator().manual_seed(0)
    batch = task.batch(40_000, generator)
    n, m = batch.details["n"], batch.details["m"]
    other = (m + torch.randint(1, 5, m.shape, generator=generator)) % 5
    right = (torch.where(n == 4, m, other) == batch.targets[0]).double().mean().item()
    expected = trivial_accuracies(task, generator, samples=1)["reference"]
    assert right == pytest.approx(expected, abs=5 * math.sqrt(0.24 / 40_000))


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="num_vectors: 1 given, at least 2 needed"):
        NthFarthest(num_vectors=1)
    with pytest.raises(ValueError, match="dimensions: 0 given, at least 1 needed"):
        NthFarthest(dimensions=0)
    with pytest.raises(ValueError, match="min_vectors: 1 given, at least 2 needed"):
        NthFarthest(min_vectors=1)
    with pytest.raises(ValueError, match=r"min_vectors: 9 given, at most num_vectors \(8\) possible"):
        NthFarthest(min_vectors=9)
