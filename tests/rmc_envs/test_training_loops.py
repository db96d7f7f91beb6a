"""The games in training loops of others: one in the manner of CleanRL, written out here, and RLlib's PPO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from torch import nn

import rmc_envs

STEPS, GAMES, DISCOUNT = 32, 64, 0.97


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_loop_written_out_learns(mode: str, one_thread: None) -> None:
    """A policy gradient without memory learns to eat in Mini Pacman: well above what random play earns a step."""
    torch.manual_seed(0)
    envs = RecordEpisodeStatistics(
        gymnasium.make_vec("rmc/MiniPacmanViewport-v0", num_envs=GAMES, autoreset_mode=mode, max_steps=200)
    )
    actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
    network = nn.Sequential(nn.Flatten(), nn.Linear(75, 128), nn.ReLU(), nn.Linear(128, actions + 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    observation, _ = envs.reset(seed=0)
    reward_of_update = []
    for _ in range(60):
        outputs, taken, rewards, going = [], [], [], []
        for _ in range(STEPS):
            output = network(torch.from_numpy(observation).float() / 255)
            action = torch.distributions.Categorical(logits=output[:, :actions]).sample()
            observation, reward, terminated, truncated, _ = envs.step(action.numpy())
            outputs.append(output)
            taken.append(action)
            rewards.append(torch.from_numpy(reward).float())
            going.append(torch.from_numpy(~(terminated | truncated)).float())
        logits, values = torch.stack(outputs).split([actions, 1], dim=-1)
        with torch.no_grad():
            target = network(torch.from_numpy(observation).float() / 255)[:, -1]
            targets = []
            for reward_row, going_row in zip(reversed(rewards), reversed(going), strict=True):
                target = reward_row + DISCOUNT * going_row * target
                targets.append(target)
        advantage = torch.stack(targets[::-1]) - values[..., 0]
        policy = torch.distributions.Categorical(logits=logits)
        gain = policy.log_prob(torch.stack(taken)) * advantage.detach() + 0.01 * policy.entropy()
        loss = -gain.mean() + 0.5 * advantage.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        reward_of_update.append(float(torch.stack(rewards).mean()))
    first, last = np.mean(reward_of_update[:5]), np.mean(reward_of_update[-10:])
    assert last > 1.4 * first


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("env_id", ["rmc/MiniPacmanViewport-v0"])
def test_rllibs_ppo_trains(env_id: str) -> None:
    ray = pytest.importorskip("ray")
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    assert env_id in rmc_envs.ENVIRONMENTS

    def make(_: Any) -> Any:
        flat = gymnasium.wrappers.FlattenObservation(gymnasium.make("rmc_envs:" + env_id))
        return gymnasium.wrappers.DtypeObservation(flat, np.float32)

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    try:
        register_env("game", make)
        algorithm = (
            PPOConfig()
            .environment("game")
            .env_runners(num_env_runners=0, num_envs_per_env_runner=4)
            .training(train_batch_size=512, minibatch_size=128, num_epochs=2)
            .build_algo()
        )
        results = [algorithm.train() for _ in range(2)]
        algorithm.stop()
    finally:
        ray.shutdown()
    assert results[-1]["num_env_steps_sampled_lifetime"] >= 1024
    assert np.isfinite(results[-1]["env_runners"]["episode_return_mean"])
