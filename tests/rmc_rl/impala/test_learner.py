from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rmc_rl.config import LearnerConfig, make_config
from rmc_rl.errors import NonFiniteLossError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.impala.rollout import Rollout
from rmc_rl.impala.weights import get_weights
from tests.rmc_rl.impala.scripted import ScriptedEnv, small_agent


@pytest.fixture(scope="module")
def config() -> LearnerConfig:
    return make_config(
        "learner.learning_rate=1e-2", "learner.entropy_cost_schedule=linear", "learner.warmup_updates=0"
    ).learner


def make_learner(config: LearnerConfig, total_steps: int = 1000, seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return Learner(small_agent(), config, total_steps, "cpu")


@pytest.fixture(scope="module")
def rollouts() -> list[Rollout]:
    torch.manual_seed(0)
    actor = Actor(ScriptedEnv([2, 3, 50]), small_agent(), 7, seed=5)
    return [actor.unroll() for _ in range(4)]


def test_counts_valid_steps_and_reports_lag(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(config)
    first = learner.update(rollouts[:2])
    assert first["steps"] == first["batch_steps"] == sum(int(rollout.valid.sum()) for rollout in rollouts[:2])
    assert first["batch_steps"] < 2 * 7 * 3, "the steps that only reset a game do not count"
    assert (first["updates"], first["policy_lag"]) == (1, 0.0)
    second = learner.update([rollouts[2], replace(rollouts[3], weights_version=1)])
    assert (second["policy_lag"], second["policy_lag_max"]) == (0.5, 1.0)
    assert len(second["episode_return"]) == sum(len(rollout.episode_return) for rollout in rollouts[2:])


def test_schedules_follow_the_share_of_the_budget(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(replace(config, entropy_cost=0.4, entropy_cost_final=0.0), total_steps=100)
    rates = []
    for _ in range(12):
        spent = min(learner.steps / 100, 1.0)
        figures = learner.update(rollouts[:1])
        rates.append(figures["learning_rate"])
        assert figures["learning_rate"] == pytest.approx(1e-2 * (1 - spent))
        assert figures["entropy_cost"] == pytest.approx(0.4 * (1 - spent))
    assert rates[-1] == 0.0


def test_the_step_size_rises_over_the_first_updates(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(replace(config, warmup_updates=4, learning_rate_schedule="constant"))
    assert [learner.update(rollouts[:1])["learning_rate"] for _ in range(6)] == pytest.approx(
        [0.25e-2, 0.5e-2, 0.75e-2, 1e-2, 1e-2, 1e-2]
    )


def test_learning_on_one_batch_lowers_its_value_loss(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    fixed_targets = replace(
        config, optimizer="adam", discount=0.0, reward_scale=0.02, learning_rate_schedule="constant"
    )
    learner = make_learner(fixed_targets)
    losses = [learner.update(rollouts)["value_loss"] for _ in range(150)]
    assert losses[-1] < 0.1 * losses[0]


def test_gradient_is_clipped(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(replace(config, max_grad_norm=1e-3))
    figures = learner.update(rollouts)
    clipped = torch.cat([p.grad.flatten() for p in learner.agent.parameters() if p.grad is not None]).norm()
    assert figures["grad_norm"] > 1e-3
    assert clipped == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_state_round_trip_goes_on_exactly(
    config: LearnerConfig, rollouts: list[Rollout], optimizer: str, momentum: float
) -> None:
    config = replace(config, optimizer=optimizer, rmsprop_momentum=momentum)
    learner, other = make_learner(config), make_learner(config, seed=9)
    learner.update(rollouts[:2])
    other.set_state(learner.get_state())
    for part in (rollouts[2:], rollouts[:1]):
        first, second = learner.update(part), other.update(part)
        assert {k: v for k, v in first.items() if isinstance(v, float) and k != "update_seconds"} == {
            k: v for k, v in second.items() if isinstance(v, float) and k != "update_seconds"
        }
    for name, value in get_weights(learner.agent).items():
        np.testing.assert_array_equal(value, get_weights(other.agent)[name])


def test_another_optimiser_starts_afresh(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(config)
    learner.update(rollouts)
    other = make_learner(replace(config, optimizer="adam"))
    other.set_state(learner.get_state())
    other.update(rollouts)
    assert other.updates == 2


def test_a_loss_that_is_not_finite_leaves_the_weights_alone(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(config)
    learner.update(rollouts)
    before = get_weights(learner.agent)
    reward = rollouts[0].reward.copy()
    reward[0, 0] = np.nan
    with pytest.raises(NonFiniteLossError, match="update 2"):
        learner.update([replace(rollouts[0], reward=reward)])
    after = get_weights(learner.agent)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_read_only_arrays_are_taken(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    """Rollouts out of Ray's object store cannot be written to."""

    def frozen(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False
        return value

    rollout = Rollout(**{name: frozen(value) for name, value in vars(rollouts[0]).items()})
    assert make_learner(config).update([rollout])["loss"] == make_learner(config).update(rollouts[:1])["loss"]


def test_several_rollouts_equal_one_joined_batch(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    from rmc_rl.impala.rollout import join

    first, second = make_learner(config), make_learner(config)
    first.update(rollouts)
    second.update([join(rollouts)])
    for name, value in get_weights(first.agent).items():
        np.testing.assert_array_equal(value, get_weights(second.agent)[name])
