"""A trained agent, ready to act: what `rmc_rl.load` gives, and what evaluation and the viewer play with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rmc_agents import Agent, Trace
from rmc_agents.observations import Leaf
from rmc_agents.tree import map_tree
from rmc_rl.building import build_agent
from rmc_rl.checkpoint import find_checkpoint, load_checkpoint
from rmc_rl.config import Config, read_config
from rmc_rl.errors import UserError
from rmc_rl.pretrained import pretrained_folder, refuse_both
from rmc_rl.progress import Progress
from rmc_rl.run_folder import find_run
from rmc_rl.spaces import Interface
from rmc_rl.weights import load_weights


@dataclass(frozen=True)
class PolicyState:
    """What the agent carries from one call of `act` to the next: its memory and its last action."""

    core: Any
    last_action: np.ndarray


@dataclass(frozen=True)
class Thought:
    """What the agent makes of B observations: its policy's numbers [B, P], value [B], memory after them.

    `trace` is what its memory did meanwhile, one step of B items, where that was asked for.
    """

    policy: torch.Tensor
    value: np.ndarray
    core: Any
    trace: Trace | None = None


def action_streams(seeds: Sequence[int]) -> list[np.random.Generator]:
    """For each episode the uniform numbers that sample its actions, Q a step; apart from the game's own stream."""
    return [np.random.default_rng([seed, 1]) for seed in seeds]


class Policy:
    """A trained agent that acts on NumPy observations.

    Attributes:
        agent: the network.
        config: the configuration it was trained with.
        run: its run folder.
        progress: how far its run had come, and the spaces it was made for.
    """

    def __init__(self, agent: Agent, config: Config, run: Path, progress: Progress) -> None:
        self.agent = agent.eval()
        self.config = config
        self.run = run
        self.progress = progress
        self._generator = torch.Generator().manual_seed(0)

    def require(self, shown: Interface) -> None:
        """Raise `UserError` unless the agent was made for such an environment."""
        known = self.progress.interface
        if shown != known:
            raise UserError(f"the agent of {self.run} does not fit the environment: made for {known}, this is {shown}")

    def seed(self, seed: int) -> None:
        """Make the sampled actions that follow a function of `seed`."""
        self._generator.manual_seed(seed)

    def act(
        self,
        observation: Any,
        state: PolicyState | None = None,
        reset: np.ndarray | bool | None = None,
        last_reward: np.ndarray | float | None = None,
        *,
        greedy: bool = False,
    ) -> tuple[Any, PolicyState]:
        """Choose an action for one observation, or for each of a batch.

        Args:
            observation: one observation as the environment gives it, or a batch [B, …].
            state: what the call before returned; None at the start.
            reset: whether the observation is the first of an episode, one or [B]; with ``state=None`` it is.
            last_reward: the reward that came with the observation, one or [B]; not needed where `reset`.
            greedy: take the likeliest action; otherwise one is sampled.

        Returns:
            The action as the environment takes it (an int where it is Discrete), or [B, …]; and the state for the next
            call.

        Raises:
            ValueError: a shape does not fit, or `reset` or `last_reward` is needed and missing.
        """
        known, actions = self.progress.interface, self.agent.actions
        observation = known.to_agent(observation)
        batch, single = self._count(observation)
        if single:
            observation = map_tree(lambda x: x[None], observation)
        if state is None:
            state = self.initial_state(batch)
            reset = True
        if reset is None:
            raise ValueError("reset: None given; whether each observation is the first of an episode is needed")
        resets = np.broadcast_to(np.asarray(reset, bool), batch)
        if last_reward is None:
            if self.agent.use_last_reward and not resets.all():
                raise ValueError("last_reward: None given; this agent sees the last reward, pass what step() returned")
            last_reward = 0.0
        rewards = np.broadcast_to(np.asarray(last_reward, np.float32), batch)
        if len(state.last_action) != batch:
            raise ValueError(f"state: of {len(state.last_action)} environments given, of {batch} needed")
        policy, _, core = self._forward(observation, state, rewards, resets)
        action = (actions.mode(policy) if greedy else actions.sample(policy, self._generator)).numpy()
        native = known.to_environment(action)
        if single:
            native = native[0].item() if native.ndim == 1 else native[0]
        return native, PolicyState(core, action)

    def _count(self, observation: Any) -> tuple[int, bool]:
        """How many observations these are, and whether it is one that is no batch.

        Raises:
            ValueError: they are no observations of this agent.
        """
        counts = set()

        def look(leaf: Leaf, x: np.ndarray) -> None:
            single = x.shape == leaf.shape
            if not single and x.shape[1:] != leaf.shape:
                raise ValueError(f"observation: shape {x.shape} given, {leaf.shape} or [B, *{leaf.shape}] needed")
            counts.add((1, True) if single else (len(x), False))

        map_tree(look, self.agent.observation, observation)
        if len(counts) > 1:
            raise ValueError("observation: its parts are of different numbers of environments")
        return counts.pop()

    def think(
        self,
        observation: Any,
        state: PolicyState,
        reset: np.ndarray,
        last_reward: np.ndarray,
        *,
        trace: bool = False,
    ) -> Thought:
        """The policy's numbers, values and new memory for a batch: all arguments [B, …], as the agent reads them.

        The caller chooses the actions (:meth:`choose`) and carries them on in a `PolicyState`. With `trace` the same
        numbers come with what the memory did, in about twice the time.
        """
        if trace:
            return self._traced(observation, state, last_reward, reset)
        policy, value, core = self._forward(observation, state, last_reward, reset)
        return Thought(policy, value.numpy(), core)

    def choose(self, thought: Thought, uniform: np.ndarray | None) -> np.ndarray:
        """Actions [B, …] sampled by uniform numbers [B, Q] of `action_streams`, or with None the likeliest."""
        if uniform is None:
            return self.agent.actions.mode(thought.policy).numpy()
        return self.agent.actions.at_quantiles(thought.policy, torch.from_numpy(uniform)).numpy()

    def initial_state(self, batch_size: int) -> PolicyState:
        """The state before the first observation of `batch_size` environments."""
        actions = self.agent.actions
        nothing = torch.zeros(batch_size, *actions.shape, dtype=actions.dtype).numpy()
        return PolicyState(self.agent.initial_state(batch_size), nothing)

    @torch.inference_mode()
    def _forward(
        self, observation: Any, state: PolicyState, last_reward: np.ndarray, reset: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        output, core = self.agent(*_one_row(observation, state, last_reward, reset))
        return output.policy[0], output.value[0], core

    @torch.inference_mode()
    def _traced(self, observation: Any, state: PolicyState, last_reward: np.ndarray, reset: np.ndarray) -> Thought:
        output, trace = self.agent.trace(*_one_row(observation, state, last_reward, reset))
        core = map_tree(lambda leaf: leaf[-1], trace.memory_after)
        return Thought(output.policy[0], output.value[0].numpy(), core, trace)


def _one_row(observation: Any, state: PolicyState, last_reward: np.ndarray, reset: np.ndarray) -> tuple[Any, ...]:
    """An agent's arguments for one row of B items."""
    return (
        map_tree(lambda x: torch.from_numpy(np.ascontiguousarray(x))[None], observation),
        torch.from_numpy(np.array(state.last_action))[None],
        torch.from_numpy(np.array(last_reward, np.float32))[None],
        torch.from_numpy(np.array(reset, bool))[None],
        map_tree(torch.as_tensor, state.core),
    )


def load(
    run: str | Path | None = None,
    checkpoint: str = "latest",
    runs_dir: str = "runs",
    *,
    pretrained: str | None = None,
    trust: bool = False,
) -> Policy:
    """Load a trained agent.

    Args:
        run: a run folder, or ``latest`` for the newest below `runs_dir`; None: ``latest``.
        checkpoint: ``latest``, ``best``, or the name of a folder in the run's ``checkpoints``.
        runs_dir: where run folders are made.
        pretrained: in the place of `run`, an agent that comes with the package, by its name.
        trust: whether the modules that its configuration names may be imported: their code is run.

    Raises:
        UserError: no such run or checkpoint, it is damaged, or a module it needs is not trusted.
    """
    if pretrained is not None:
        refuse_both(pretrained, run=run)
    path = find_run(str(run or "latest"), runs_dir) if pretrained is None else pretrained_folder(pretrained)
    config = read_config(path / "config.yaml")
    chosen = find_checkpoint(path, checkpoint)
    state, info = load_checkpoint(chosen)
    progress = Progress.from_json(info, chosen)
    agent = build_agent(config, progress.interface, trust=trust)
    load_weights(agent, state["learner"]["agent"])
    return Policy(agent, config, path, progress)
