from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from rmc_agents import Discrete
from rmc_rl.errors import UserError
from rmc_rl.policy import Policy, load
from rmc_rl.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=20000"]
    return train([*words, "log.display=none", "checkpoint.every_seconds=0.5", f"runs_dir={folder}"]).run


@pytest.fixture
def policy(run: Path) -> Policy:
    return load(run)


def test_plays_an_environment(policy: Policy) -> None:
    env = gymnasium.make("rmc_envs:rmc/MiniPacmanViewport-v0")
    observation, _ = env.reset(seed=1)
    state, reset, reward = None, True, 0.0
    for _ in range(100):
        action, state = policy.act(observation, state, reset, reward)
        assert isinstance(action, int)
        observation, step_reward, terminated, truncated, _ = env.step(action)
        reward, reset = float(step_reward), False
        if terminated or truncated:
            observation, _ = env.reset()
            reset = True


def test_a_batch_acts_as_its_members_do_alone(policy: Policy) -> None:
    rng = np.random.default_rng(0)
    observations = rng.integers(0, 256, (6, 3, 5, 5, 3), dtype=np.uint8)
    resets = rng.random((6, 3)) < 0.3
    rewards = rng.normal(size=(6, 3)).astype(np.float32)
    state, singles = None, [None] * 3
    for t in range(6):
        actions, state = policy.act(observations[t], state, resets[t] | (t == 0), rewards[t], greedy=True)
        for b in range(3):
            reset = bool(resets[t, b]) or t == 0
            action, singles[b] = policy.act(observations[t, b], singles[b], reset, rewards[t, b], greedy=True)
            assert action == actions[b]
            np.testing.assert_allclose(singles[b].core[0], state.core[b], atol=1e-5)


def test_memory_reaches_across_steps_and_not_across_resets(policy: Policy) -> None:
    rng = np.random.default_rng(0)
    first, second, probe = rng.integers(0, 256, (3, 1, 5, 5, 3), dtype=np.uint8)
    one, zero = np.ones(1, bool), np.zeros(1, np.float32)

    def value_after(seen: np.ndarray, reset: np.ndarray) -> float:
        _, state = policy.act(seen, greedy=True)
        return float(policy.think(probe, state, reset, zero).value[0])

    assert value_after(first, ~one) != value_after(second, ~one)
    assert value_after(first, one) == value_after(second, one)


def test_a_traced_thought_is_the_same_thought(policy: Policy) -> None:
    rng = np.random.default_rng(0)
    observations = rng.integers(0, 256, (2, 3, 5, 5, 3), dtype=np.uint8)
    _, state = policy.act(observations[0])
    reset, rewards = np.array([False, True, False]), rng.normal(size=3).astype(np.float32)
    thought = policy.think(observations[1], state, reset, rewards)
    traced = policy.think(observations[1], state, reset, rewards, trace=True)
    assert torch.equal(traced.policy, thought.policy)
    np.testing.assert_array_equal(traced.value, thought.value)
    assert torch.equal(traced.core, thought.core)
    assert thought.trace is None
    assert traced.trace is not None
    assert traced.trace.attention is not None
    assert traced.trace.attention.shape == (1, 3, 1, 4, 4, 5)


def test_seed_decides_the_sampled_actions(policy: Policy) -> None:
    observations = np.zeros((64, 5, 5, 3), np.uint8)

    def sampled(seed: int) -> list[int]:
        policy.seed(seed)
        return list(policy.act(observations)[0])

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_wrong_calls_are_explained(policy: Policy) -> None:
    observation = np.zeros((5, 5, 3), np.uint8)
    _, state = policy.act(observation)
    with pytest.raises(ValueError, match=r"observation: shape \(4, 5, 3\)"):
        policy.act(observation[:4])
    with pytest.raises(ValueError, match="reset: None given"):
        policy.act(observation, state)
    with pytest.raises(ValueError, match="last_reward: None given"):
        policy.act(observation, state, False)
    with pytest.raises(ValueError, match="state: of 1 environments given, of 2 needed"):
        policy.act(np.zeros((2, 5, 5, 3), np.uint8), state, True)


def test_checkpoints_are_chosen_by_name(run: Path) -> None:
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert load(run, "best").progress.steps <= load(run).progress.steps
    assert load(run, names[-1]).progress.steps == int(names[-1].removeprefix("step-"))
    with pytest.raises(UserError, match="has no checkpoint 'worst'; it has: latest, best, step-"):
        load(run, "worst")


def test_no_environment_is_needed_to_load(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymnasium.make_vec", None)
    monkeypatch.setattr("gymnasium.make", None)
    assert load(run).agent.actions == Discrete(5)
