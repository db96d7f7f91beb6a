"""The actor: a vector environment and a copy of the agent, turned into rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from rmc_agents import heads
from rmc_agents.agent import Agent
from rmc_agents.tree import map_tree
from rmc_rl.errors import UserError
from rmc_rl.impala.rollout import Rollout
from rmc_rl.impala.weights import load_weights

MAX_FAILURES_IN_A_ROW = 3
"""So often an environment may raise without a whole unroll between."""


class Actor:
    """Plays B games side by side and records T steps of each per call of `unroll`.

    Args:
        env: a vector environment with next-step autoreset and discrete actions.
        agent: acts as it is now; `load_weights` brings newer weights.
        unroll_length: T.
        seed: of the games (game i gets seed + i) and of the sampled actions.
    """

    def __init__(self, env: VectorEnv, agent: Agent, unroll_length: int, seed: int) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise UserError(
                f"the environment resets itself in mode {mode}; rollouts need AutoresetMode.NEXT_STEP "
                "(Gymnasium's default for its vector environments)"
            )
        self.env = env
        self.agent = agent
        self.unroll_length = unroll_length
        self.weights_version = 0
        self.device = next(agent.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        batch = env.num_envs
        observation, _ = env.reset(seed=seed)
        # The current row: what is known before the next action is chosen.
        self._observation = observation
        self._reset = np.ones(batch, bool)
        self._final = np.zeros(batch, bool)  # the row shows the end of an episode: the next step only resets
        self._last_action = np.zeros(batch, np.int64)
        self._last_reward = np.zeros(batch, np.float32)
        self._core_state = agent.initial_state(batch)
        self._return = np.zeros(batch, np.float64)
        self._length = np.zeros(batch, np.int64)
        self._failures_in_a_row = 0

    def load_weights(self, weights: Mapping[str, np.ndarray], version: int) -> None:
        """Act with these weights from the next unroll on."""
        load_weights(self.agent, weights)
        self.weights_version = version

    @torch.inference_mode()
    def unroll(self) -> Rollout:
        """Play T steps of every game.

        Raises:
            UserError: the environment keeps raising; the message names its error.
        """
        steps, batch = self.unroll_length, self.env.num_envs
        observation = map_tree(lambda x: np.empty((steps + 1, *x.shape), x.dtype), self._observation)
        reset = np.empty((steps + 1, batch), bool)
        last_action = np.empty((steps + 1, batch), np.int64)
        last_reward = np.empty((steps + 1, batch), np.float32)
        action = np.empty((steps, batch), np.int64)
        reward = np.empty((steps, batch), np.float32)
        terminated = np.empty((steps, batch), bool)
        log_prob = np.empty((steps, batch), np.float32)
        core_state = map_tree(lambda x: x.cpu().numpy().copy(), self._core_state)
        returns: list[float] = []
        lengths: list[int] = []
        failures = 0

        def record_row(t: int) -> None:
            map_tree(lambda rows, x: np.copyto(rows[t], x), observation, self._observation)
            reset[t], last_action[t], last_reward[t] = self._reset, self._last_action, self._last_reward

        for t in range(steps):
            record_row(t)
            action[t], log_prob[t] = self._act()
            try:
                self._observation, step_reward, step_terminated, truncated, _ = self.env.step(action[t])
            except Exception as error:
                self._start_anew(error)
                reward[t], terminated[t] = 0.0, False
                failures += 1
                continue
            reward[t], terminated[t] = step_reward, step_terminated
            done = step_terminated | truncated
            valid = ~self._final
            self._return += np.where(valid, reward[t], 0.0)  # whatever the step that only resets says
            self._length += valid
            if done.any():
                returns += self._return[done].tolist()
                lengths += self._length[done].tolist()
                self._return[done] = 0.0
                self._length[done] = 0
            self._reset = self._final
            self._last_action = np.where(valid, action[t], 0)
            self._last_reward = np.where(valid, reward[t], np.float32(0.0))
            self._final = done
        record_row(steps)
        if failures == 0:
            self._failures_in_a_row = 0
        return Rollout(
            observation=observation,
            reset=reset,
            last_action=last_action,
            last_reward=last_reward,
            action=action,
            reward=reward,
            terminated=terminated,
            behaviour_log_prob=log_prob,
            core_state=core_state,
            weights_version=self.weights_version,
            episode_return=np.asarray(returns, np.float64),
            episode_length=np.asarray(lengths, np.int64),
            env_failures=failures,
        )

    def _start_anew(self, error: Exception) -> None:
        """The environment raised in step: its games start new episodes, and the row after is a reset like any other.

        What a batch of games was doing when one of them raised cannot be known, so all of its episodes are given up.
        """
        name = self.env.spec.id if self.env.spec is not None else type(self.env).__name__
        self._failures_in_a_row += 1
        if self._failures_in_a_row > MAX_FAILURES_IN_A_ROW:
            raise UserError(
                f"the environment {name} keeps raising in step, {self._failures_in_a_row} times without a whole "
                f"unroll between: {type(error).__name__}: {error}"
            ) from error
        try:
            self._observation, _ = self.env.reset()
        except Exception as second:
            raise UserError(
                f"the environment {name} raised in step ({type(error).__name__}: {error}) and then in reset: "
                f"{type(second).__name__}: {second}"
            ) from second
        self._reset = np.ones_like(self._reset)
        self._final = np.zeros_like(self._final)
        self._last_action = np.zeros_like(self._last_action)
        self._last_reward = np.zeros_like(self._last_reward)
        self._return[:] = 0.0
        self._length[:] = 0

    def _act(self) -> tuple[np.ndarray, np.ndarray]:
        """Actions [B] for the current row and their log-probabilities [B]; the memory moves on."""

        def row(array: Any) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array)[None]).to(self.device)  # [1, B, …]

        output, self._core_state = self.agent(
            map_tree(row, self._observation),
            row(self._last_action),
            row(self._last_reward),
            row(self._reset),
            self._core_state,
        )
        logits = output.logits[0]
        action = heads.sample(logits, self.generator)
        return action.cpu().numpy(), heads.log_prob(logits, action).cpu().numpy()

    def get_state(self) -> dict[str, Any]:
        """Everything that makes the next unroll what it is, except the weights: a tree of arrays.

        Environments with ``get_state`` are part of it; without, their episodes start anew after `set_state`.
        """
        game_state = getattr(self.env.unwrapped, "get_state", None)
        return {
            "observation": map_tree(np.copy, self._observation),
            "reset": self._reset.copy(),
            "final": self._final.copy(),
            "last_action": self._last_action.copy(),
            "last_reward": self._last_reward.copy(),
            "core_state": map_tree(lambda x: x.cpu().numpy().copy(), self._core_state),
            "return": self._return.copy(),
            "length": self._length.copy(),
            "generator": self.generator.get_state().numpy(),
            "env": game_state() if game_state is not None else {},
        }

    def set_state(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state of `get_state`.

        Returns:
            False where that cannot be done (the environment cannot be restored, or the state is of another number of
            games or another device): then nothing has changed, and the new episodes go on.

        Raises:
            UserError: the state is damaged.
        """
        restore = getattr(self.env.unwrapped, "set_state", None)
        generator = state.get("generator")
        same_device = generator is not None and generator.shape == self.generator.get_state().shape
        same_batch = len(state.get("reset", ())) == self.env.num_envs
        if restore is None or not state.get("env") or not same_device or not same_batch:
            return False
        try:
            restore(state["env"])
            map_tree(_require_alike, self._observation, state["observation"])
            map_tree(_require_alike, map_tree(lambda x: x.cpu().numpy(), self._core_state), state["core_state"])
            self.generator.set_state(torch.from_numpy(state["generator"].copy()))
            self._observation = map_tree(np.copy, state["observation"])
            self._reset, self._final = state["reset"].astype(bool), state["final"].astype(bool)
            self._last_action = state["last_action"].astype(np.int64)
            self._last_reward = state["last_reward"].astype(np.float32)
            self._core_state = map_tree(lambda x: torch.from_numpy(x.copy()).to(self.device), state["core_state"])
            self._return, self._length = state["return"].astype(np.float64), state["length"].astype(np.int64)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"the checkpoint's record of the games is damaged: {error}") from error
        return True


def _require_alike(own: np.ndarray, given: np.ndarray) -> None:
    if own.shape != given.shape or own.dtype != given.dtype:
        raise ValueError(f"{given.dtype} {given.shape} given, {own.dtype} {own.shape} needed")
