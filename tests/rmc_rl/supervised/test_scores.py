from __future__ import annotations

import math

import pytest
import torch

from rmc_rl.supervised import cross_entropy, score, sequence_loss

LOGITS = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]]]))
TARGETS = torch.tensor([[0, 1], [1, 2]])
"""Right are all but the second answer to the first item, to which its likelihood is 0.2."""


def test_an_example_by_hand() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    expected = -(math.log(0.5) + math.log(0.8) + math.log(0.2) + math.log(0.4)) / 4
    assert cross_entropy(LOGITS, TARGETS, everything).item() == pytest.approx(expected)
    assert score(LOGITS, TARGETS, everything).means() == pytest.approx(
        {"loss": expected, "accuracy": 3 / 4, "solved": 1 / 2}
    )


def test_the_loss_of_each_sequence() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    expected = [-math.log(0.5) - math.log(0.2), -math.log(0.8)]
    assert sequence_loss(LOGITS, TARGETS, mask).tolist() == pytest.approx(expected)


def test_what_does_not_count_is_left_out() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    logits = LOGITS.clone()
    logits[~mask] = math.nan
    logits.requires_grad_()
    loss = cross_entropy(logits, TARGETS, mask)
    assert loss.item() == pytest.approx(-math.log(0.5))
    assert score(logits, TARGETS, mask).means() == pytest.approx(
        {"loss": -math.log(0.5), "accuracy": 1.0, "solved": 1.0}
    )
    scores = score(logits, TARGETS, mask)
    assert (scores.answers, scores.sequences) == (1, 1), "the second item has no answer that counts"


def test_the_gradient_of_what_does_not_count_is_zero() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    logits = LOGITS.clone().requires_grad_()
    cross_entropy(logits, TARGETS, mask).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[~mask], torch.zeros(2, 3))
    probabilities = LOGITS.exp()
    expected = (probabilities - torch.nn.functional.one_hot(TARGETS, 3)) / 2
    torch.testing.assert_close(logits.grad[mask], expected[mask])


def test_nothing_counts() -> None:
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    assert cross_entropy(LOGITS, TARGETS, nothing) == 0
    assert all(math.isnan(mean) for mean in score(LOGITS, TARGETS, nothing).means().values())


def test_parts_of_a_test_are_added_up() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 50, 7, generator=generator)
    targets = torch.randint(7, (3, 50), generator=generator)
    mask = torch.rand(3, 50, generator=generator) < 0.5
    parts = [
        score(part, target, counts)
        for part, target, counts in zip(logits.split(20, 1), targets.split(20, 1), mask.split(20, 1), strict=True)
    ]
    assert (parts[0] + parts[1] + parts[2]).means() == pytest.approx(score(logits, targets, mask).means())


def test_half_precision_is_widened() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    loss = cross_entropy(LOGITS.bfloat16(), TARGETS, everything)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(LOGITS.bfloat16().float(), TARGETS, everything))
