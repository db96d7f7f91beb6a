from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rmc_agents import heads
from rmc_agents.actions import Discrete
from rmc_agents.agent import AgentOutput
from rmc_rl.config import LearnerConfig, make_config
from rmc_rl.impala.loss import Loss, impala_loss
from rmc_rl.impala.vtrace import vtrace
from tests.rmc_rl.impala.test_vtrace import slow_reference

T, B, A = 6, 4, 3


@pytest.fixture(scope="module")
def config() -> LearnerConfig:
    return make_config().learner


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        "action": torch.from_numpy(rng.integers(0, A, (T, B))),
        "reward": torch.from_numpy(rng.normal(size=(T, B))),
        "terminated": torch.from_numpy(rng.random((T, B)) < 0.2),
        "behaviour_log_prob": torch.from_numpy(np.log(rng.uniform(0.2, 0.9, (T, B)))),
        "valid": torch.from_numpy(rng.random((T, B)) < 0.8),
    }


def outputs(seed: int = 1) -> AgentOutput:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(T + 1, B, A))).requires_grad_()
    return AgentOutput(logits, torch.from_numpy(rng.normal(size=(T + 1, B))).requires_grad_())


def loss_of(output: AgentOutput, config: LearnerConfig, data: dict[str, torch.Tensor]) -> Loss:
    return impala_loss(output, **data, actions=Discrete(A), config=config, entropy_cost=0.02)


def test_terms_equal_the_formulas(config: LearnerConfig) -> None:
    config = replace(config, reward_scale=0.5, baseline_cost=0.7, discount=0.9, trace_lambda=0.7)
    data, output = batch(), outputs()
    loss = loss_of(output, config, data)
    logits, value = output.policy.detach().numpy(), output.value.detach().numpy()
    log_policy = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    valid = data["valid"].numpy()
    log_prob = np.take_along_axis(log_policy[:-1], data["action"].numpy()[..., None], -1)[..., 0]
    target, advantage = slow_reference(
        log_prob - data["behaviour_log_prob"].numpy(),
        np.where(data["terminated"].numpy(), 0.0, 0.9),
        0.5 * data["reward"].numpy(),
        value[:-1],
        value[-1],
        valid,
        1.0,
        1.0,
        0.7,
    )
    entropy = -(np.exp(log_policy) * log_policy).sum(-1)[:-1]
    policy_loss = -(log_prob * advantage)[valid].mean()
    value_loss = 0.5 * ((target - value[:-1]) ** 2)[valid].mean()
    assert loss.policy.item() == pytest.approx(policy_loss)
    assert loss.value.item() == pytest.approx(value_loss)
    assert loss.entropy.item() == pytest.approx(entropy[valid].mean())
    assert loss.total.item() == pytest.approx(policy_loss + 0.7 * value_loss - 0.02 * entropy[valid].mean(), abs=1e-7)


def test_sum_is_the_mean_times_the_valid_count(config: LearnerConfig) -> None:
    data = batch()
    mean = loss_of(outputs(), config, data).total
    total = loss_of(outputs(), replace(config, loss_reduction="sum"), data).total
    assert total.item() == pytest.approx(mean.item() * int(data["valid"].sum()))


def test_transitions_that_are_not_valid_leave_no_gradient(config: LearnerConfig) -> None:
    output, data = outputs(), batch()
    loss_of(output, config, data).total.backward()
    assert output.policy.grad is not None
    assert output.value.grad is not None
    invalid = ~data["valid"]
    assert (output.policy.grad[:-1][invalid] == 0).all()
    assert (output.value.grad[:-1][invalid] == 0).all()
    assert (output.value.grad[-1] == 0).all(), "the bootstrap value carries no gradient"
    assert (output.policy.grad[:-1][~invalid] != 0).any()


def test_rewards_and_ratios_of_such_transitions_do_not_matter(config: LearnerConfig) -> None:
    data = batch()
    changed = {**data, "reward": torch.where(data["valid"], data["reward"], 1e6)}
    changed["behaviour_log_prob"] = torch.where(data["valid"], data["behaviour_log_prob"], -900.0)
    assert loss_of(outputs(), config, data).total.item() == loss_of(outputs(), config, changed).total.item()


def test_a_batch_without_valid_transitions_is_harmless(config: LearnerConfig) -> None:
    data = batch() | {"valid": torch.zeros(T, B, dtype=torch.bool)}
    assert loss_of(outputs(), config, data).total.item() == 0.0


def test_minimising_raises_the_probability_of_a_good_action(config: LearnerConfig) -> None:
    output = AgentOutput(torch.zeros(2, 1, 2, requires_grad=True), torch.zeros(2, 1, requires_grad=True))
    data = {
        "action": torch.tensor([[1]]),
        "reward": torch.tensor([[2.0]]),
        "terminated": torch.tensor([[True]]),
        "behaviour_log_prob": torch.log(torch.tensor([[0.5]])),
        "valid": torch.tensor([[True]]),
    }
    loss_of(output, config, data).total.backward()
    assert output.policy.grad is not None
    assert output.value.grad is not None
    assert output.policy.grad[0, 0, 1] < 0 < output.policy.grad[0, 0, 0]
    assert output.value.grad[0, 0] == pytest.approx(-config.baseline_cost * 2.0)


def test_the_clipped_surrogate_equals_the_formula(config: LearnerConfig) -> None:
    data, output = batch(), outputs()
    trace = vtrace(
        heads.log_prob(output.policy[:-1], data["action"]).detach() - data["behaviour_log_prob"],
        torch.where(data["terminated"], 0.0, config.discount).double(),
        data["reward"],
        output.value[:-1].detach(),
        output.value[-1].detach(),
        data["valid"],
        trace_lambda=config.trace_lambda,
    )
    loss = loss_of(output, replace(config, surrogate_clip=0.2), data)
    terms = []
    for t, b in zip(*torch.nonzero(data["valid"], as_tuple=True), strict=True):
        log_policy = torch.log_softmax(output.policy[t, b].detach(), -1)
        ratio = (log_policy[data["action"][t, b]] - data["behaviour_log_prob"][t, b]).exp().item()
        advantage = trace.uncorrected_advantage[t, b].item()
        terms.append(min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage))
    assert loss.policy.item() == pytest.approx(-np.mean(terms))
    assert loss.value.item() == pytest.approx(loss_of(outputs(), config, data).value.item()), "the value's term stays"


def test_beyond_its_clip_the_surrogate_has_no_gradient(config: LearnerConfig) -> None:
    data = batch() | {"reward": torch.full((T, B), 50.0, dtype=torch.float64)}  # every advantage is positive
    output = outputs()
    clipping = replace(config, surrogate_clip=0.2)
    loss = impala_loss(output, **data, actions=Discrete(A), config=clipping, entropy_cost=0.0)
    loss.total.backward()
    assert output.policy.grad is not None
    ratio = (heads.log_prob(output.policy[:-1], data["action"]) - data["behaviour_log_prob"]).exp()
    beyond = data["valid"] & (ratio > 1.2)
    assert beyond.any()
    assert (output.policy.grad[:-1][beyond] == 0).all()
    assert (output.policy.grad[:-1][data["valid"] & ~beyond] != 0).any(-1).all()


def test_the_surrogate_takes_no_heed_of_invalid_transitions(config: LearnerConfig) -> None:
    config = replace(config, surrogate_clip=0.1)
    data = batch()
    changed = {**data, "behaviour_log_prob": torch.where(data["valid"], data["behaviour_log_prob"], -900.0)}
    assert loss_of(outputs(), config, data).total.item() == loss_of(outputs(), config, changed).total.item()
    output = outputs()
    loss_of(output, config, changed).total.backward()
    assert output.policy.grad is not None
    assert output.policy.grad.isfinite().all()


def test_rewards_are_cut_and_then_scaled(config: LearnerConfig) -> None:
    data = batch() | {"reward": torch.linspace(-5, 5, T * B, dtype=torch.float64).reshape(T, B)}
    cut = {**data, "reward": data["reward"].clamp(-1.5, 1.5) * 0.1}
    found = loss_of(outputs(), replace(config, reward_clip=1.5, reward_scale=0.1), data)
    assert found.total.item() == loss_of(outputs(), config, cut).total.item()
    assert found.total.item() != loss_of(outputs(), replace(config, reward_scale=0.1), data).total.item()


def test_the_unit_of_values_divides_advantages_and_errors(config: LearnerConfig) -> None:
    """As if rewards and values were that much smaller, but for the entropy's term."""
    data, output = batch(), outputs()
    options: dict[str, Any] = {"actions": Discrete(A), "config": config, "entropy_cost": 0.0}
    unit = torch.tensor(4.0, dtype=torch.float64)
    found = impala_loss(output, **data, **options, value_scale=unit)
    smaller = AgentOutput(output.policy, output.value / 4)
    expected = impala_loss(smaller, **{**data, "reward": data["reward"] / 4}, **options)
    assert found.total.item() == pytest.approx(expected.total.item())
    assert found.value.item() == pytest.approx(16 * expected.value.item()), "figures are in the rewards' own units"
