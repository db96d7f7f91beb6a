"""One process: the actor plays an unroll, the learner learns from it, in turn. Bit-exact from a seed on each device.

With ``device=cuda`` the agent acts and learns on the GPU, in batches of thousands of games, which threads of the host
step; what has been played is there when learning begins, and nothing but figures comes back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import make_vector
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.profiling import Profiled
from rmc_rl.seeds import actor_seed
from rmc_rl.spaces import Interface

GAMES_PER_THREAD = 512
"""At least so many: the step of fewer takes less time than to hand it to a thread."""


class InlineEngine:
    """Actor and learner share one agent, so acting is always with the newest weights."""

    def __init__(
        self,
        config: Config,
        interface: Interface,
        state: dict[str, Any] | None,
        say: Callable[[str], None],
        traces: Path | None = None,
    ) -> None:
        threads = config.engine.learner_threads or available_cores()
        prepare_process(threads)
        self._rollouts_per_batch = config.learner.rollouts_per_batch
        self._profiled = Profiled(traces and traces / "both.json.gz")
        device = learner_device(config)
        if device == "cuda":
            torch.backends.cudnn.deterministic = True  # of its convolutions some add up in any order
        agent = build_agent(config, interface, seed=config.seed)
        self._learner = Learner(agent, config.learner, config.total_steps, device, threads)
        if state is not None:
            self._learner.set_state(state["learner"])
        # Where the games cannot be restored, new ones are played, not those of the run's beginning again.
        generation = self._learner.updates
        bounds = [group * config.actor.num_envs // config.actor.groups for group in range(config.actor.groups + 1)]
        self._envs = [
            make_vector(
                config.env,
                stop - start,
                trust=config.trust,
                threads=threads_for(stop - start, available_cores()) if device == "cuda" else None,
            )
            for start, stop in pairwise(bounds)
        ]
        self._actor = Actor(self._envs, agent, config.actor.unroll_length, actor_seed(config.seed, 0, generation))
        if state is not None and not ("actor" in state and self._actor.set_state(state["actor"])):
            say("the games could not be restored: their episodes start anew")

    def update(self) -> dict[str, Any]:
        """Play and learn once."""
        return self._profiled(self._update)

    def _update(self) -> dict[str, Any]:
        rollouts = []
        started, env_seconds = time.perf_counter(), self._actor.env_seconds
        for _ in range(self._rollouts_per_batch):
            self._actor.weights_version = self._learner.updates
            rollouts.append(self._actor.unroll())
        seconds = time.perf_counter() - started
        figures = self._learner.update(rollouts)
        env_seconds = self._actor.env_seconds - env_seconds
        acting = {"acted_steps": figures["batch_steps"], "acting_seconds": seconds, "env_seconds": env_seconds}
        counts = dict.fromkeys(("queue", "restarts", "dropped_rollouts"), 0)
        return figures | acting | {"acting_idle_seconds": figures["update_seconds"], "actors": 1} | counts

    def get_state(self) -> dict[str, Any]:
        """The learner's and the actor's state: everything."""
        return {"learner": self._learner.get_state(), "actor": self._actor.get_state()}

    def close(self) -> None:
        """Close the games."""
        for env in self._envs:
            with contextlib.suppress(Exception):  # why the run ends, and that it is saved, matters more
                env.close()


def threads_for(games: int, cores: int) -> int:
    """How many threads share a step of so many games; on a CPU those cores are the agent's."""
    return max(1, min(cores, games // GAMES_PER_THREAD))
