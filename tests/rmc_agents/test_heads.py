from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical

from rmc_agents import PolicyHead, ValueHead, entropy, log_prob, mode, sample


def test_policy_head_starts_nearly_uniform() -> None:
    torch.manual_seed(0)
    head = PolicyHead(64, 5)
    logits = head(torch.randn(7, 3, 64))
    assert logits.shape == (7, 3, 5)
    assert entropy(logits).min() > math.log(5) - 0.01
    assert logits.std() > 0
    torch.testing.assert_close(head.linear.weight @ head.linear.weight.T, 1e-4 * torch.eye(5), atol=1e-9, rtol=0)
    with pytest.raises(ValueError, match="num_parameters: 0 given"):
        PolicyHead(64, 0)


def test_value_head_gives_one_number_a_row() -> None:
    head = ValueHead(6)
    features = torch.randn(7, 3, 6)
    expected = (features * head.linear.weight[0]).sum(-1) + head.linear.bias
    torch.testing.assert_close(head(features), expected)


def test_a_normalised_value_stays_what_it_was_while_its_units_move() -> None:
    torch.manual_seed(0)
    head = ValueHead(6, normalise=True).double()
    features = torch.randn(50, 6, dtype=torch.float64)
    before = head(features)
    assert head.scale is not None
    assert head.scale.item() == 1.0
    rng = torch.Generator().manual_seed(1)
    batches = [300 + 40 * torch.randn(64, generator=rng, dtype=torch.float64) for _ in range(20)]
    for number, batch in enumerate(batches, start=1):
        head.follow(batch.mean().item(), batch.square().mean().item())
        torch.testing.assert_close(head(features), before, rtol=1e-9, atol=1e-9)
        so_far = torch.cat(batches[:number])  # a plain average at first
        torch.testing.assert_close(head.scale, so_far.std(unbiased=False))
    assert head.linear.bias.item() == pytest.approx(-300 / 40, rel=0.1), "in the new units"
    assert torch.equal(ValueHead(6, normalise=True).moments, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    assert set(ValueHead(6).state_dict()) == {"linear.weight", "linear.bias"}


def test_the_units_of_a_value_do_not_vanish() -> None:
    head = ValueHead(2, normalise=True)
    for _ in range(3):
        head.follow(5.0, 25.0)  # all returns are the same
    assert head.scale is not None
    assert head.scale.item() == pytest.approx(ValueHead.LEAST_SCALE)
    assert head(torch.zeros(1, 2)).isfinite().all()


def test_old_returns_are_forgotten() -> None:
    head = ValueHead(2, normalise=True)
    for value in [0.0] * 5000 + [10.0] * 20_000:
        head.follow(value, value**2)
    assert head.moments[0].item() == pytest.approx(10, rel=0.01)


def test_log_prob_entropy_and_mode_equal_torch_distributions() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(7, 4, 5)
    action = torch.randint(5, (7, 4))
    reference = Categorical(logits=logits)
    torch.testing.assert_close(log_prob(logits, action), reference.log_prob(action))
    torch.testing.assert_close(entropy(logits), reference.entropy())
    assert torch.equal(mode(logits), reference.mode)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    assert entropy(logits).item() == 0
    assert log_prob(logits, torch.tensor([2])).item() == -2e4
    assert sample(logits).item() == 0
    (entropy(logits) + log_prob(logits, torch.tensor([2]))).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_probabilities_are_at_least_float32(dtype: torch.dtype, expected: torch.dtype) -> None:
    logits = torch.tensor([[0.5, 1.5, -1.0]], dtype=dtype)
    action = torch.tensor([1])
    assert log_prob(logits, action).dtype == entropy(logits).dtype == expected
    assert log_prob(logits, action).item() == pytest.approx(Categorical(logits=logits.double()).log_prob(action).item())
    assert sample(logits).dtype == mode(logits).dtype == torch.int64


def test_sampling_frequencies() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -torch.inf, -3.0])
    draws = sample(logits.expand(200, 500, 5), torch.Generator().manual_seed(0))
    assert draws.shape == (200, 500)
    frequencies = torch.bincount(draws.flatten(), minlength=5) / draws.numel()
    probabilities = torch.softmax(logits, dim=-1)
    deviation = (probabilities * (1 - probabilities) / draws.numel()).sqrt()
    assert frequencies[3] == 0
    assert ((frequencies - probabilities).abs() <= 4 * deviation).all()


def test_sampling_is_reproducible_and_leaves_the_global_generator_alone() -> None:
    logits = torch.randn(50, 5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = sample(logits, torch.Generator().manual_seed(3))
    second = sample(logits, torch.Generator().manual_seed(3))
    assert torch.equal(first, second)
    assert not torch.equal(first, sample(logits, torch.Generator().manual_seed(4)))
    assert torch.equal(torch.get_rng_state(), before)
