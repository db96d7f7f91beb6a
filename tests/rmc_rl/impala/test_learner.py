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
from rmc_rl.weights import get_weights
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


@pytest.mark.parametrize(("field", "named"), [("observation", "an observation"), ("reward", "a reward")])
def test_what_the_environment_gave_is_named_where_it_is_not_finite(
    config: LearnerConfig, rollouts: list[Rollout], field: str, named: str
) -> None:
    given = getattr(rollouts[0], field).copy()
    given[0, 0] = np.inf
    with pytest.raises(NonFiniteLossError, match=f"the environment gave {named} that is not finite"):
        make_learner(config).update([replace(rollouts[0], **{field: given})])


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


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("games_at_once", [1, 2, 3])
def test_parts_add_up_to_the_whole(
    config: LearnerConfig, rollouts: list[Rollout], games_at_once: int, threads: int
) -> None:
    torch.manual_seed(0)
    parts = Learner(small_agent(), replace(config, games_at_once=games_at_once), 1000, "cpu", threads)
    whole = make_learner(config)
    for batch in (rollouts[:3], rollouts[3:]):
        figures, expected = parts.update(batch), whole.update(batch)
        for name in ("loss", "policy_loss", "value_loss", "entropy", "value", "rho", "explained_variance", "grad_norm"):
            assert figures[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
    for name, value in get_weights(parts.agent).items():
        np.testing.assert_allclose(value, get_weights(whole.agent)[name], rtol=1e-3, atol=1e-4)


def test_threads_change_no_bit(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    weights = []
    for threads in (1, 2, 5):
        torch.manual_seed(0)
        learner = Learner(small_agent(), replace(config, games_at_once=1), 1000, "cpu", threads)
        for _ in range(3):
            learner.update(rollouts)
        weights.append(get_weights(learner.agent))
    for other in weights[1:]:
        for name, value in weights[0].items():
            np.testing.assert_array_equal(value, other[name])


def test_an_error_in_a_thread_is_raised(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = Learner(small_agent(), replace(config, games_at_once=1), 1000, "cpu", 2)
    with pytest.raises(ValueError, match="observation: shape"):
        learner.update([replace(rollouts[0], observation=rollouts[0].observation[:, :, :1])])


def test_tensors_are_taken_as_arrays_are(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    def tensor(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.ndim >= 2 else value

    rollout = Rollout(**{name: tensor(value) for name, value in vars(rollouts[0]).items()})
    assert make_learner(config).update([rollout])["loss"] == make_learner(config).update(rollouts[:1])["loss"]


def test_lag_in_steps_is_what_was_learnt_meanwhile(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    learner = make_learner(config)
    learnt = [learner.update([replace(rollout, weights_version=0)])["steps"] for rollout in rollouts[:2]]
    assert learner.update([replace(rollouts[2], weights_version=0)])["policy_lag_steps"] == learnt[1]
    assert learner.update([replace(rollouts[3], weights_version=1)])["policy_lag_steps"] == learner.steps - learnt[
        0
    ] - int(rollouts[3].valid.sum())


def test_burn_in_brings_the_memory_up_to_date_and_learns_from_the_rest(
    config: LearnerConfig, rollouts: list[Rollout]
) -> None:
    """As a rollout that begins later, with the memory that today's weights have there."""
    first = 3
    whole = make_learner(replace(config, burn_in=first))
    rest = make_learner(config)
    rollout = rollouts[1]
    rows = [torch.from_numpy(x[:first]) for x in (rollout.observation, rollout.last_action, rollout.last_reward)]
    with torch.no_grad():
        _, state = rest.agent(*rows, torch.from_numpy(rollout.reset[:first]), torch.from_numpy(rollout.core_state))
    names = ("observation", "reset", "last_action", "last_reward", "action", "reward", "terminated")
    later = {name: getattr(rollout, name)[first:] for name in (*names, "behaviour_log_prob")}
    expected = rest.update([replace(rollout, core_state=state.numpy(), **later)])
    found = whole.update([rollout])
    for name, weight in get_weights(rest.agent).items():
        np.testing.assert_allclose(get_weights(whole.agent)[name], weight, atol=1e-6, err_msg=name)
    assert found["loss"] == pytest.approx(expected["loss"])
    assert found["batch_steps"] == int(rollout.valid.sum()), "played steps all count"
    assert found["batch_steps"] > expected["batch_steps"]


def test_values_in_the_returns_units_are_learnt_whatever_their_size(rollouts: list[Rollout]) -> None:
    """Rewards a thousand times as large are explained as well; without it they hardly are."""
    config = make_config("learner.learning_rate=1e-3", "learner.discount=0.5", "learner.warmup_updates=0").learner

    def explained(scale: float, normalise: bool) -> float:
        torch.manual_seed(0)
        learner = Learner(small_agent(normalise_value=normalise), config, 10**9, "cpu")
        batch = [replace(rollout, reward=scale * rollout.reward) for rollout in rollouts]
        figures = [learner.update(batch)["explained_variance"] for _ in range(100)]
        if normalise:
            assert learner.agent.value.scale is not None
            assert learner.agent.value.scale.item() > 0.5 * scale
        return figures[-1]

    assert explained(1000.0, True) == pytest.approx(explained(1.0, True), abs=0.1)
    assert explained(1000.0, True) > 0.5 > explained(1000.0, False)
