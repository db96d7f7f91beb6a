from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rmc_agents.actions import Discrete
from rmc_agents.agent import AgentOutput
from rmc_rl.config import LearnerConfig, make_config
from rmc_rl.impala.loss import Loss, impala_loss
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
    config = replace(config, reward_scale=0.5, baseline_cost=0.7, discount=0.9)
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
        1.0,
    )
    entropy = -(np.exp(log_policy) * log_policy).sum(-1)[:-1]
    policy_loss = -(log_prob * advantage)[valid].mean()
    value_loss = 0.5 * ((target - value[:-1]) ** 2)[valid].mean()
    assert loss.policy.item() == pytest.approx(policy_loss)
    assert loss.value.item() == pytest.approx(value_loss)
    assert loss.entropy.item() == pytest.approx(entropy[valid].mean())
    assert loss.total.item() == pytest.approx(policy_loss + 0.7 * value_loss - 0.02 * entropy[valid].mean())


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
