"""Plays episodes one step at a time, exactly as evaluation plays them, and tells everything about each step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import load_env_creator

from rmc_agents.actions import Actions, Continuous, Discrete, MultiDiscrete
from rmc_agents.tree import map_tree
from rmc_rl.environment import action_names, find_spec, make_single
from rmc_rl.errors import UserError, one_line
from rmc_rl.policy import Policy, PolicyState, action_streams
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.spaces import interface
from rmc_rl.viewer.step import Step, gate_parts, memory_parts


class Session:
    """An agent at play.

    Episode i starts from seed + i, and step t of it samples its action by the t-th number of that seed's stream: in
    sampled mode and in greedy mode it is the episode that `rmc_rl.evaluate` plays from this seed, unless a person takes
    part in it: the agent then sees, remembers and judges what came of the person's actions, as if they were its own.

    Args:
        policy: who plays.
        seed: of the first episode.
        greedy: take the likeliest action; may be changed at any time and counts from the next step on.
        max_steps: cut an episode short after so many actions; None: play it to its end.
        trust: whether the environment id may name a module.

    Raises:
        UserError: the environment cannot be made, raises, or does not fit the agent.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        seed: int = EVALUATION_SEEDS,
        greedy: bool = False,
        max_steps: int | None = None,
        trust: bool = False,
    ) -> None:
        self.policy = policy
        self.seed = seed
        self.greedy = greedy
        self.max_steps = max_steps
        self.env = self._make_env(trust)
        self._episode = -1
        self._seed = seed - 1
        self._last: Step | None = None

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action, or each component of one, is called: the environment's `action_names`, or numbers."""
        return action_names(self.env)

    @property
    def largest_entropy(self) -> float | None:
        """Of a policy to which all actions are alike, in nats; None where actions have no bounds."""
        actions = self.policy.agent.actions
        if isinstance(actions, Continuous):
            return len(actions.bounded) * math.log(2) if all(actions.bounded) else None
        return float(actions.entropy(torch.zeros(actions.num_parameters)))

    def advance(self) -> Step:
        """The next step: of this episode or, where there is none yet or it is over, the first of the next one."""
        last = self._last
        if last is None or last.action is None:
            return self.next_episode()
        with self._calling("step"):
            observation, reward, terminated, truncated, _ = self.env.step(self._state.last_action[0])
        number = last.number + 1
        ending = "terminated" if terminated else "truncated" if truncated else None
        if ending is None and number == self.max_steps:
            ending = "cut short"
        return self._look(observation, float(reward), last.episode_return + float(reward), number, ending)

    def next_episode(self, seed: int | None = None) -> Step:
        """The first step of another episode, wherever this one stands: of the next seed, or of `seed`."""
        self._episode += 1
        self._seed = self._seed + 1 if seed is None else seed
        (self._noise,) = action_streams([self._seed])
        self._state = self.policy.initial_state(1)
        with self._calling(f"reset with seed {self._seed}"):
            observation, _ = self.env.reset(seed=self._seed)
        return self._look(observation, 0.0, 0.0, 0, None)

    def decide(self, action: int) -> Step:
        """A person chooses: the latest step, but with this action, which `advance` will take.

        Raises:
            ValueError: the episode is over, actions are not discrete, or there is no such action.
        """
        kind = self.policy.agent.actions
        if self._last is None or self._last.action is None:
            raise ValueError("action: given where no episode goes on")
        if not isinstance(kind, Discrete) or not 0 <= action < kind.n:
            raise ValueError(f"action: {action} given, one of {kind} needed")
        self._state = PolicyState(self._state.core, np.array([action]))
        self._last = replace(self._last, action=action, by_person=True)
        return self._last

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _look(self, observation: Any, reward: float, episode_return: float, number: int, ending: str | None) -> Step:
        first = np.array([number == 0])
        batch = map_tree(lambda x: np.asarray(x)[None], observation)
        thought = self.policy.think(batch, self._state, first, np.array([reward], np.float32), trace=True)
        assert thought.trace is not None
        attention = thought.trace.attention
        action = None
        chosen = self.policy.choose(thought, None)
        if ending is None:
            quantiles = self.policy.agent.actions.num_quantiles
            noise = self._noise.random((1, quantiles))  # drawn in greedy mode too: numbers t belong to step t
            if not self.greedy:
                chosen = self.policy.choose(thought, noise)
            self._state = PolicyState(thought.core, chosen)
            action = int(chosen[0]) if chosen.ndim == 1 else tuple(chosen[0].tolist())
        self._last = Step(
            episode=self._episode,
            seed=self._seed,
            number=number,
            board=self._board(),
            observation=observation,
            probabilities=probabilities(self.policy.agent.actions, thought.policy[0], chosen),
            entropy=float(self.policy.agent.actions.entropy(thought.policy)[0]),
            value=float(thought.value[0]),
            memory=memory_parts(thought.core, self.policy.agent.core.state_names),
            action=action,
            reward=reward,
            episode_return=episode_return,
            ending=ending,
            attention=None if attention is None else attention[-1, 0].float().numpy(),
            gates=gate_parts(thought.trace),
        )
        return self._last

    def _make_env(self, trust: bool) -> gymnasium.Env[Any, Any]:
        config = self.policy.config.env
        spec = find_spec(config, trust)
        try:
            creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
        except Exception as error:
            raise UserError(f"the environment '{config.id}' cannot be imported: {error}") from error
        draws = "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ())
        try:
            env = make_single(config, trust=trust, render_mode="rgb_array" if draws else None)
            self.policy.require(interface(env))
        except UserError as error:
            remedy = (
                f"if {self.policy.run / 'config.yaml'} was changed after training, restore it; else name another run"
            )
            raise UserError(f"{error}; {remedy}") from error
        return env

    def _board(self) -> np.ndarray | None:
        if self.env.render_mode is None:
            return None
        with self._calling("render"):
            frame: Any = self.env.render()
        return frame if isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[-1] == 3 else None

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """The environment's code runs and may fail in any way."""
        try:
            yield
        except Exception as error:
            name = self.policy.config.env.id
            raise UserError(f"the environment '{name}' raised in {what}: {one_line(error)}") from error


def probabilities(actions: Actions, policy: torch.Tensor, chosen: np.ndarray) -> np.ndarray:
    """What `Step.probabilities` holds, from the policy's numbers [P] and the action that was chosen, [1, …]."""
    if isinstance(actions, MultiDiscrete):
        parts = zip(policy.split(actions.sizes), chosen[0], strict=True)
        return np.array([float(torch.softmax(logits.double(), -1)[int(choice)]) for logits, choice in parts])
    if isinstance(actions, Continuous):
        return (1 + np.tanh(chosen[0].astype(np.float64))) / 2
    return torch.softmax(policy.double(), -1).numpy()
