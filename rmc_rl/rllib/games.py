"""The games as RLlib plays them: a batch whose observations hold all that the agent reads.

RLlib hands its module the observation alone. The last action and the last reward, which our agent reads too, and
whether an episode begins therefore become parts of it; so the learner gets them row by row as the runner did, the last
row of an episode or of a piece of one included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorWrapper
from gymnasium.vector.utils import batch_space

from rmc_agents.actions import Actions, Continuous, Discrete, MultiDiscrete
from rmc_rl.config import Config
from rmc_rl.environment import make_vector
from rmc_rl.spaces import interface

OBSERVATION, LAST_ACTION, LAST_REWARD, FIRST = "observation", "last_action", "last_reward", "first"
"""The parts of an observation."""


class Games(VectorWrapper):
    """Observations are dicts of `OBSERVATION`, `LAST_ACTION`, `LAST_REWARD` and `FIRST` (1 where an episode begins).

    The action space is that of the agent's actions.

    Args:
        context: what RLlib makes environments from: a mapping with the `Config` as ``config`` and the number of games
            as ``num_envs``.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        config: Config = context["config"]
        env = make_vector(config.env, context["num_envs"], trust=config.trust)  # which resets itself at the next step
        super().__init__(env)
        self._actions = interface(env).actions
        self.single_action_space = action_space(self._actions)
        self.single_observation_space = spaces.Dict(
            {
                OBSERVATION: env.single_observation_space,
                LAST_ACTION: self.single_action_space,
                LAST_REWARD: spaces.Box(-np.inf, np.inf, (), np.float32),
                FIRST: spaces.Box(0, 1, (), np.uint8),
            }
        )
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._ended = np.zeros(self.num_envs, bool)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """An episode begins in every game."""
        observation, info = self.env.reset(seed=seed, options=options)
        nothing = torch.zeros(self.num_envs, *self._actions.shape, dtype=self._actions.dtype).numpy()
        self._ended = np.zeros(self.num_envs, bool)
        first = np.ones(self.num_envs, bool)
        return self._row(observation, nothing, np.zeros(self.num_envs), first), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One action of the agent in every game; where an episode had ended, the next one begins."""
        played = np.asarray(actions)
        observation, reward, terminated, truncated, info = self.env.step(played)
        row = self._row(observation, played, reward, first=self._ended)
        self._ended = terminated | truncated
        return row, reward, terminated, truncated, info

    def _row(self, observation: Any, action: np.ndarray, reward: Any, first: np.ndarray) -> dict[str, Any]:
        return {
            OBSERVATION: observation,
            LAST_ACTION: action,
            LAST_REWARD: np.asarray(reward, np.float32),
            FIRST: first.astype(np.uint8),
        }


def action_space(actions: Actions) -> spaces.Space[Any]:
    """The space of what the agent does; `make_vector` turns that into what the environment takes."""
    if isinstance(actions, Discrete):
        return spaces.Discrete(actions.n)
    if isinstance(actions, MultiDiscrete):
        return spaces.MultiDiscrete(list(actions.sizes))
    assert isinstance(actions, Continuous)
    return spaces.Box(-np.inf, np.inf, actions.shape, np.float32)  # before the bounds, so RLlib leaves it as it is
