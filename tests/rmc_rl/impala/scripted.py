"""A vector environment whose every row is known beforehand, an agent small enough to follow, a recorder without GPU."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rmc_agents import Agent, Discrete, Vector
from rmc_agents.registry import make_core


class ScriptedEnv(VectorEnv):
    """Game i lasts ``lengths[i]`` steps over and over; odd games are truncated, even ones terminate.

    The observation is (game, episode, step within the episode); the reward of action t is 10·episode + t, and a marker
    of -1000 for the step that only resets, which must never be counted.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, lengths: list[int]) -> None:
        self.num_envs = len(lengths)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.lengths = np.array(lengths)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.episode = np.zeros(self.num_envs, int)
        self.time = np.zeros(self.num_envs, int)
        self.done = np.zeros(self.num_envs, bool)
        self.actions: list[np.ndarray] = []
        return self._observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.actions.append(actions.copy())
        reward = np.where(self.done, -1000.0, 10.0 * self.episode + self.time)
        self.episode = self.episode + self.done
        self.time = np.where(self.done, 0, self.time + 1)
        ended = ~self.done & (self.time == self.lengths)
        self.done = ended
        odd = np.arange(self.num_envs) % 2 == 1
        return self._observe(), reward, ended & ~odd, ended & odd, {}

    def _observe(self) -> np.ndarray:
        return np.stack([np.arange(self.num_envs), self.episode, self.time], axis=1).astype(np.float32)


def small_agent(core: str = "rmc", **options: Any) -> Agent:
    sizes = {"rmc": {"mem_slots": 2, "head_size": 4, "num_heads": 2}, "lstm": {"hidden_size": 8}}[core]
    return Agent(
        observation=Vector((3,)),
        actions=Discrete(3),
        core=lambda size: make_core(core, size, **sizes),
        torso_options={"hidden_sizes": (8,)},
        **options,
    )
