from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rmc_rl.supervised.language.softmax import TiedSoftmax

WORDS, WIDTH, ROWS = 30, 6, 200


def parts(*cutoffs: int, scale: float = 1.0) -> tuple[TiedSoftmax, Tensor, Tensor, Tensor]:
    """A softmax with weights of all kinds, float64 features and targets, and an embedding."""
    torch.manual_seed(0)
    softmax = TiedSoftmax(WORDS, WIDTH, cutoffs).double()
    for parameter in softmax.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    features = torch.randn(ROWS, WIDTH, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(WORDS, WIDTH, dtype=torch.float64, requires_grad=True)
    return softmax, features, torch.randint(WORDS, (ROWS,)), weight


@pytest.mark.parametrize("cutoffs", [(), (10,), (5, 12, 20), (1, 29)])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_losses_and_likeliest_words_are_those_of_all_probabilities(cutoffs: tuple[int, ...], scale: float) -> None:
    softmax, features, targets, weight = parts(*cutoffs, scale=scale)
    table = softmax.log_probabilities(features, weight)
    torch.testing.assert_close(table.exp().sum(dim=1), torch.ones(ROWS, dtype=torch.float64))
    losses, _ = softmax.judge(features, targets, weight)
    torch.testing.assert_close(losses, -table[torch.arange(ROWS), targets])
    with torch.no_grad():
        again, words = softmax.judge(features, targets, weight)
    assert torch.equal(again, losses)
    assert torch.equal(words, table.argmax(dim=1))
    wanted = [features, weight, *softmax.parameters()]
    got = torch.autograd.grad(losses.sum(), wanted, retain_graph=True)
    needed = torch.autograd.grad(-table[torch.arange(ROWS), targets].sum(), wanted)
    for one, other in zip(got, needed, strict=True):
        torch.testing.assert_close(one, other)


def test_training_computes_the_targets_own_clusters_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    softmax, features, targets, weight = parts(5, 12, 20)
    computed, within = list[tuple[int, int]](), softmax._within

    def counted(rows: Tensor, weight: Tensor, first: int, end: int) -> Tensor:
        computed.append((first, len(rows)))
        return within(rows, weight, first, end)

    monkeypatch.setattr(softmax, "_within", counted)
    _, words = softmax.judge(features, targets, weight)
    bounds = ((5, 12), (12, 20), (20, WORDS))
    assert computed == [(first, int(((targets >= first) & (targets < end)).sum())) for first, end in bounds]
    table = softmax.log_probabilities(features, weight)
    for row, target, word in zip(table, targets.tolist(), words.tolist(), strict=True):
        first, end = next((pair for pair in bounds if pair[0] <= target < pair[1]), (0, 5))
        known = [*range(5), *range(first, end)]
        assert word == max(known, key=lambda number: row[number].item()), "the likeliest of those"


def test_clusters_are_those_of_torch() -> None:
    """Torch's adaptive softmax with the same weights, its projections the identity."""
    softmax, features, targets, weight = parts(8, 15)
    assert softmax.clusters is not None
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(WIDTH, WORDS, [8, 15], div_value=1.0, head_bias=True).double()
    with torch.no_grad():
        softmax.bias[8:] = 0.0  # torch's clusters have none
        theirs.head.weight.copy_(torch.cat([weight[:8], softmax.clusters.weight]))
        theirs.head.bias.copy_(torch.cat([softmax.bias[:8], softmax.clusters.bias]))
        for tail, (first, end) in zip(theirs.tail, ((8, 15), (15, WORDS)), strict=True):
            tail[0].weight.copy_(torch.eye(WIDTH))
            tail[1].weight.copy_(weight[first:end])
    torch.testing.assert_close(softmax.judge(features, targets, weight)[0], -theirs(features, targets).output)
    torch.testing.assert_close(softmax.log_probabilities(features, weight), theirs.log_prob(features))


@pytest.mark.parametrize("cutoffs", [(0,), (30,), (5, 5), (9, 4), (-3,)])
def test_cutoffs_that_do_not_rise(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"rising numbers within 1 \.\. 29 needed"):
        TiedSoftmax(WORDS, WIDTH, cutoffs)


def test_a_batch_without_rare_words_has_all_gradients() -> None:
    softmax, features, _, weight = parts(20)
    losses, _ = softmax.judge(features, torch.zeros(ROWS, dtype=torch.int64), weight)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(losses.sum(), list(softmax.parameters())))
