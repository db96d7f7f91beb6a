"""The games an actor plays: a vector environment, the current row of each of its games, and the episodes that ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from rmc_agents.tree import map_tree
from rmc_rl.errors import UserError, one_line
from rmc_rl.spaces import interface

MAX_FAILURES_IN_A_ROW = 3
"""So often an environment may raise without a whole unroll between."""


class Games:
    """B games of one vector environment in play.

    Args:
        env: a vector environment with next-step autoreset, in the agent's language (`rmc_rl.environment`).
        seed: game i gets seed + i.

    Raises:
        UserError: the environment resets itself in another way, or raises in its first reset.

    Attributes:
        observation: tree of [B, …]; with the next three the current row: what is known before the next action.
        reset: [B] bool, where a new episode begins.
        last_action: [B, …], the action that led to the row; 0 where ``reset``.
        last_reward: [B] float32, what it brought; 0 where ``reset``.
        reward: [B] float32, of the last step, as it came.
        terminated: [B] bool, of the last step.
        env_seconds: time that the environment's steps have taken since the start.
    """

    def __init__(self, env: VectorEnv, seed: int) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise UserError(
                f"the environment resets itself in mode {mode}; rollouts need AutoresetMode.NEXT_STEP "
                "(Gymnasium's default for its vector environments)"
            )
        self.env = env
        batch = env.num_envs
        try:
            self.observation, _ = env.reset(seed=seed)
        except Exception as error:
            raise UserError(f"the environment {self._name} raised in reset: {one_line(error)}") from error
        self.reset = np.ones(batch, bool)
        actions = interface(env).actions
        action_type = torch.empty(0, dtype=actions.dtype).numpy().dtype
        self.last_action = np.zeros((batch, *actions.shape), action_type)
        self.last_reward = np.zeros(batch, np.float32)
        self.reward = np.zeros(batch, np.float32)
        self.terminated = np.zeros(batch, bool)
        self._final = np.zeros(batch, bool)  # the row shows the end of an episode: the next step only resets
        self._return = np.zeros(batch, np.float64)
        self._length = np.zeros(batch, np.int64)
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._failures = 0
        self._failures_in_a_row = 0
        self.env_seconds = 0.0

    @property
    def _name(self) -> str:
        return self.env.spec.id if self.env.spec is not None else type(self.env.unwrapped).__name__

    def step(self, action: np.ndarray) -> None:
        """Play ``action`` [B, …] in every game.

        Raises:
            UserError: the environment keeps raising; the message names its error.
        """
        started = time.perf_counter()
        try:
            self.observation, reward, self.terminated, truncated, _ = self.env.step(action)
        except Exception as error:
            self._start_anew(error)
            return
        finally:
            self.env_seconds += time.perf_counter() - started
        self.reward = np.asarray(reward, np.float32)
        done = self.terminated | truncated
        valid = ~self._final
        self._return += np.where(valid, self.reward, 0.0)  # whatever the step that only resets says
        self._length += valid
        if done.any():
            self._returns += self._return[done].tolist()
            self._lengths += self._length[done].tolist()
            self._return[done] = 0.0
            self._length[done] = 0
        self.reset = self._final
        self.last_action = np.where(valid.reshape(-1, *[1] * (action.ndim - 1)), action, action.dtype.type(0))
        self.last_reward = np.where(valid, self.reward, np.float32(0.0))
        self._final = done

    def _start_anew(self, error: Exception) -> None:
        """The environment raised in step: its games start new episodes, and the row after is a reset like any other.

        What a batch of games was doing when one of them raised cannot be known, so all of its episodes are given up.
        """
        self._failures += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row > MAX_FAILURES_IN_A_ROW:
            raise UserError(
                f"the environment {self._name} keeps raising in step, {self._failures_in_a_row} times without a whole "
                f"unroll between: {one_line(error)}"
            ) from error
        try:
            self.observation, _ = self.env.reset()
        except Exception as second:
            raise UserError(
                f"the environment {self._name} raised in step ({one_line(error)}) and then in reset: {one_line(second)}"
            ) from second
        self.reset = np.ones_like(self.reset)
        self.last_action = np.zeros_like(self.last_action)
        self.last_reward = np.zeros_like(self.last_reward)
        self.reward = np.zeros_like(self.reward)
        self.terminated = np.zeros_like(self.terminated)
        self._final = np.zeros_like(self._final)
        self._return[:] = 0.0
        self._length[:] = 0

    def take_record(self) -> tuple[list[float], list[int], int]:
        """An unroll is whole: returns and lengths of the episodes that ended in it, and how often `env` raised."""
        record = self._returns, self._lengths, self._failures
        if self._failures == 0:
            self._failures_in_a_row = 0
        self._returns, self._lengths, self._failures = [], [], 0
        return record

    @property
    def can_be_restored(self) -> bool:
        """Whether the environment has ``set_state``."""
        return getattr(self.env.unwrapped, "set_state", None) is not None

    def get_state(self) -> dict[str, Any]:
        """Everything that makes the next steps what they are: a tree of arrays.

        Environments with ``get_state`` are part of it, as ``env``, which is empty for others.
        """
        env_state = getattr(self.env.unwrapped, "get_state", None)
        return {
            "observation": map_tree(np.copy, self.observation),
            "reset": self.reset.copy(),
            "final": self._final.copy(),
            "last_action": self.last_action.copy(),
            "last_reward": self.last_reward.copy(),
            "return": self._return.copy(),
            "length": self._length.copy(),
            "env": env_state() if env_state is not None else {},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `get_state`.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        env: Any = self.env.unwrapped
        env.set_state(state["env"])
        map_tree(require_alike, self.observation, state["observation"])
        self.observation = map_tree(np.copy, state["observation"])
        self.reset, self._final = state["reset"].astype(bool), state["final"].astype(bool)
        self.last_action = state["last_action"].astype(self.last_action.dtype)
        self.last_reward = state["last_reward"].astype(np.float32)
        self._return, self._length = state["return"].astype(np.float64), state["length"].astype(np.int64)


def require_alike(own: np.ndarray, given: np.ndarray) -> None:
    """Raise ValueError unless both are of one shape and type."""
    if own.shape != given.shape or own.dtype != given.dtype:
        raise ValueError(f"{given.dtype} {given.shape} given, {own.dtype} {own.shape} needed")
