from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from rmc_agents import Actions, Continuous, Discrete, MultiDiscrete
from rmc_agents.actions import _quadrature

KINDS = [Discrete(1), Discrete(5), MultiDiscrete([3, 1, 4]), Continuous([True]), Continuous([True, False, True])]
every_kind = pytest.mark.parametrize("actions", KINDS, ids=repr)


def parameters_of(actions: Actions, *shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(*shape, actions.num_parameters, generator=torch.Generator().manual_seed(seed))


@every_kind
def test_shapes_and_types(actions: Actions) -> None:
    parameters = parameters_of(actions, 4, 3)
    action = actions.sample(parameters, torch.Generator().manual_seed(1))
    quantiles = torch.rand(4, 3, actions.num_quantiles, generator=torch.Generator().manual_seed(2))
    for found in (action, actions.mode(parameters), actions.at_quantiles(parameters, quantiles)):
        assert found.shape == (4, 3, *actions.shape)
        assert found.dtype == actions.dtype
    for numbers in (actions.log_prob(parameters, action), actions.entropy(parameters)):
        assert numbers.shape == (4, 3)
        assert numbers.isfinite().all()
    absent = torch.tensor([[True, False, False]] * 4)
    encoded = actions.encode(action, absent)
    assert encoded.shape == (4, 3, actions.num_features)
    assert not encoded[:, 0].any()


@every_kind
def test_samples_follow_the_seed(actions: Actions) -> None:
    parameters = parameters_of(actions, 50)
    first, again = (actions.sample(parameters, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


@every_kind
def test_both_ways_of_sampling_have_the_frequencies_of_the_log_probability(actions: Actions) -> None:
    """By the mean of what is known of the density: E[-log p] is the entropy of what was sampled."""
    parameters = parameters_of(actions, 1).expand(40_000, -1)
    sampled = actions.sample(parameters, torch.Generator().manual_seed(4))
    uniform = torch.rand(40_000, actions.num_quantiles, generator=torch.Generator().manual_seed(5))
    for action in (sampled, actions.at_quantiles(parameters, uniform)):
        surprise = -actions.log_prob(parameters, action)
        expected = actions.entropy(parameters)[0]
        if isinstance(actions, Continuous):  # whose entropy is that of the squashed action
            mean, log_std = actions.mean_and_log_std(parameters[0])
            expected = Normal(mean, log_std.exp()).entropy().sum()
        error = 4 * surprise.std().item() / math.sqrt(len(surprise)) + 1e-6
        assert surprise.mean().item() == pytest.approx(expected.item(), abs=error)


@every_kind
def test_the_mode_is_likeliest(actions: Actions) -> None:
    parameters = parameters_of(actions, 30)
    best = actions.log_prob(parameters, actions.mode(parameters))
    for seed in range(20):
        other = actions.sample(parameters, torch.Generator().manual_seed(seed))
        assert (actions.log_prob(parameters, other) <= best + 1e-6).all()


@every_kind
def test_two_of_one_description_are_equal(actions: Actions) -> None:
    record = json.loads(json.dumps(actions.to_json()))
    again = {kind.kind: kind for kind in (Discrete, MultiDiscrete, Continuous)}[record.pop("kind")](**record)
    assert again == actions
    assert repr(again) == repr(actions)
    assert hash(again) == hash(actions)
    assert again != Discrete(7)


def test_multi_discrete_is_the_product_of_its_components() -> None:
    actions = MultiDiscrete([3, 2])
    parameters = parameters_of(actions, 6)
    action = actions.sample(parameters)
    parts = [Categorical(logits=logits) for logits in parameters.split([3, 2], -1)]
    torch.testing.assert_close(
        actions.log_prob(parameters, action), parts[0].log_prob(action[:, 0]) + parts[1].log_prob(action[:, 1])
    )
    torch.testing.assert_close(actions.entropy(parameters), parts[0].entropy() + parts[1].entropy())
    encoded = actions.encode(torch.tensor([2, 1]), torch.tensor(False))
    assert encoded.tolist() == [False, False, True, False, True]


def test_quantiles_invert_the_categorical_distribution() -> None:
    logits = torch.tensor([0.0, 0.3, 0.7]).log().expand(4, 3)
    uniform = torch.tensor([[0.0], [0.29], [0.31], [0.999]])
    assert Discrete(3).at_quantiles(logits, uniform).tolist() == [1, 1, 2, 2]
    # Where rounding keeps the sum below the number, it is the last one.
    assert Discrete(2).at_quantiles(torch.zeros(1, 2), torch.ones(1, 1)).tolist() == [1]


def test_the_normal_distribution_of_continuous_actions() -> None:
    actions = Continuous([True, True])
    parameters = parameters_of(actions, 9).double()
    mean, log_std = actions.mean_and_log_std(parameters)
    reference = Independent(Normal(mean, log_std.exp()), 1)
    action = actions.sample(parameters)
    torch.testing.assert_close(actions.log_prob(parameters, action), reference.log_prob(action))
    assert (log_std > -5).all()
    assert (log_std < 1).all()
    at_zero = actions.mean_and_log_std(torch.zeros(4))
    assert at_zero[0].tolist() == [0, 0]
    assert at_zero[1].tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 0.0), (1.5, -1.0), (-3.0, 3.0), (0.2, -9.0)])
def test_the_entropy_of_squashed_actions(mean: float, spread: float) -> None:
    """Against the mean surprise of a large sample, by the density of the squashed action."""
    actions = Continuous([True])
    parameters = torch.tensor([[mean, spread]], dtype=torch.float64)
    centre, log_std = actions.mean_and_log_std(parameters)
    squashed = TransformedDistribution(Normal(centre, log_std.exp()), [TanhTransform(cache_size=1)])
    torch.manual_seed(0)
    surprise = -squashed.log_prob(squashed.sample((400_000,)))
    error = 4 * surprise.std().item() / math.sqrt(surprise.numel())
    assert actions.entropy(parameters).item() == pytest.approx(surprise.mean().item(), abs=error + 5e-3)


def test_entropy_cannot_be_gained_at_the_bounds() -> None:
    """The entropy of the number before tanh grows with its spread for ever."""
    actions = Continuous([True])
    spreads = torch.linspace(-6, 12, 40)
    entropies = actions.entropy(torch.stack([torch.zeros(40), spreads], -1))
    assert entropies.max() < math.log(2) + 1e-3, "at most that of the uniform distribution over [-1, 1]"
    assert entropies[-1] < entropies.max() - 0.1


def test_unbounded_components_are_left_alone() -> None:
    actions = Continuous([True, False])
    u = torch.tensor([[0.5, 3.0]])
    assert actions.squash(u).tolist()[0] == pytest.approx([math.tanh(0.5), 3.0])
    assert actions.encode(u, torch.tensor([False])).tolist()[0] == pytest.approx([math.tanh(0.5), 0.75])
    parameters = parameters_of(actions, 1)
    mean, log_std = actions.mean_and_log_std(parameters)
    alone = Continuous([True]).entropy(parameters[:, [0, 2]])
    torch.testing.assert_close(actions.entropy(parameters), alone + Normal(mean, log_std.exp()).entropy()[:, 1])


@every_kind
def test_gradients_are_finite_at_the_extremes(actions: Actions) -> None:
    for size in (0.0, 50.0, -50.0):
        parameters = torch.full((2, actions.num_parameters), size, requires_grad=True)
        action = actions.mode(parameters.detach())
        (actions.log_prob(parameters, action).sum() + actions.entropy(parameters).sum()).backward()
        assert parameters.grad is not None
        assert parameters.grad.isfinite().all()


def test_half_precision_is_widened() -> None:
    for actions in KINDS:
        parameters = parameters_of(actions, 3).bfloat16()
        action = actions.sample(parameters)
        assert actions.log_prob(parameters, action).dtype == torch.float32
        assert actions.entropy(parameters).dtype == torch.float32


@pytest.mark.parametrize("make", [lambda: Discrete(0), lambda: MultiDiscrete([]), lambda: Continuous([])])
def test_no_action_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"given, .*at least 1"):
        make()


def test_the_quadrature_is_exact_for_polynomials() -> None:
    nodes, weights = map(np.array, _quadrature())
    for power, moment in ((0, 1), (1, 0), (2, 1), (4, 3), (6, 15), (7, 0)):
        assert np.sum(weights * nodes**power) == pytest.approx(moment, abs=1e-9)
