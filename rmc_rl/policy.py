"""A trained agent, ready to act: what `rmc_rl.load` gives, and what evaluation and the viewer play with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rmc_agents import Agent, heads
from rmc_agents.tree import map_tree
from rmc_rl.building import build_agent
from rmc_rl.checkpoint import latest_checkpoint, load_checkpoint
from rmc_rl.config import Config, read_config
from rmc_rl.environment import Interface
from rmc_rl.errors import UserError
from rmc_rl.impala.weights import load_weights
from rmc_rl.progress import Progress
from rmc_rl.run_folder import find_run


@dataclass(frozen=True)
class PolicyState:
    """What the agent carries from one call of `act` to the next: its memory and its last action."""

    core: Any
    last_action: np.ndarray


@dataclass(frozen=True)
class Thought:
    """What the agent makes of B observations: action probabilities [B, A], value [B], memory after them."""

    probabilities: np.ndarray
    value: np.ndarray
    core: Any


def action_streams(seeds: Sequence[int]) -> list[np.random.Generator]:
    """For each episode the uniform numbers that sample its actions, one a step; apart from the game's own stream."""
    return [np.random.default_rng([seed, 1]) for seed in seeds]


def sample_actions(probabilities: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The inverse of the distribution function: actions [B] from probabilities [B, A] and uniform numbers [B]."""
    reached = probabilities.cumsum(-1) > noise[:, None]
    # Where rounding keeps the sum below the number, it is the last action.
    return np.where(reached.any(-1), reached.argmax(-1), probabilities.shape[-1] - 1)


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
        observation: np.ndarray,
        state: PolicyState | None = None,
        reset: np.ndarray | bool | None = None,
        last_reward: np.ndarray | float | None = None,
        *,
        greedy: bool = False,
    ) -> tuple[Any, PolicyState]:
        """Choose an action for one observation, or for each of a batch.

        Args:
            observation: one observation, or [B, …].
            state: what the call before returned; None at the start.
            reset: whether the observation is the first of an episode, one or [B]; with ``state=None`` it is.
            last_reward: the reward that came with the observation, one or [B]; not needed where `reset`.
            greedy: take the likeliest action; otherwise one is sampled.

        Returns:
            The action (an int, or int64 [B]) and the state for the next call.

        Raises:
            ValueError: a shape does not fit, or `reset` or `last_reward` is needed and missing.
        """
        observation = np.asarray(observation)
        shape = self.agent.observation_shape
        single = observation.shape == shape
        if not single and observation.shape[1:] != shape:
            raise ValueError(f"observation: shape {observation.shape} given, {shape} or [B, *{shape}] needed")
        batch = 1 if single else len(observation)
        if state is None:
            state = PolicyState(self.agent.initial_state(batch), np.zeros(batch, np.int64))
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
        logits, _, core = self._forward(observation[None] if single else observation, state, rewards, resets)
        action = (heads.mode(logits) if greedy else heads.sample(logits, self._generator)).numpy()
        return (int(action[0]) if single else action), PolicyState(core, action)

    def think(self, observation: np.ndarray, state: PolicyState, reset: np.ndarray, last_reward: np.ndarray) -> Thought:
        """Action probabilities, values and new memory for a batch: all arguments [B, …].

        The caller chooses the actions and carries them on in a `PolicyState`.
        """
        logits, value, core = self._forward(observation, state, last_reward, reset)
        return Thought(torch.softmax(logits.double(), -1).numpy(), value.numpy(), core)

    def initial_state(self, batch_size: int) -> PolicyState:
        """The state before the first observation of `batch_size` environments."""
        return PolicyState(self.agent.initial_state(batch_size), np.zeros(batch_size, np.int64))

    @torch.inference_mode()
    def _forward(
        self, observation: np.ndarray, state: PolicyState, last_reward: np.ndarray, reset: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        output, core = self.agent(
            torch.from_numpy(np.ascontiguousarray(observation))[None],
            torch.from_numpy(np.array(state.last_action))[None],
            torch.from_numpy(np.array(last_reward, np.float32))[None],
            torch.from_numpy(np.array(reset, bool))[None],
            map_tree(torch.as_tensor, state.core),
        )
        return output.logits[0], output.value[0], core


def load(run: str | Path = "latest", checkpoint: str = "latest", runs_dir: str = "runs") -> Policy:
    """Load a trained agent.

    Args:
        run: a run folder, or ``latest`` for the newest below `runs_dir`.
        checkpoint: ``latest``, ``best``, or the name of a folder in the run's ``checkpoints``.
        runs_dir: where run folders are made.

    Raises:
        UserError: no such run or checkpoint, or it is damaged.
    """
    path = find_run(str(run), runs_dir)
    config = read_config(path / "config.yaml")
    folder = path / "checkpoints"
    chosen = latest_checkpoint(folder) if checkpoint == "latest" else folder / checkpoint
    if checkpoint != "latest" and (chosen.name != checkpoint or checkpoint.startswith(".") or not chosen.is_dir()):
        names = ", ".join(sorted(item.name for item in folder.iterdir() if not item.name.startswith(".")))
        raise UserError(f"the run {path} has no checkpoint '{checkpoint}'; it has: latest, {names}")
    state, info = load_checkpoint(chosen)
    progress = Progress.from_json(info, chosen)
    agent = build_agent(config, progress.interface)
    load_weights(agent, state["learner"]["agent"])
    return Policy(agent, config, path, progress)
