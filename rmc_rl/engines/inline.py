"""One process: the actor plays an unroll, the learner learns from it, in turn. Bit-exact from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import Interface, make_vector
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.seeds import actor_seed


class InlineEngine:
    """Actor and learner share one agent, so acting is always with the newest weights."""

    def __init__(
        self, config: Config, interface: Interface, state: dict[str, Any] | None, say: Callable[[str], None]
    ) -> None:
        prepare_process(config.engine.learner_threads or available_cores())
        self._rollouts_per_batch = config.learner.rollouts_per_batch
        agent = build_agent(config, interface, seed=config.seed)
        self._learner = Learner(agent, config.learner, config.total_steps, learner_device(config))
        if state is not None:
            self._learner.set_state(state["learner"])
        # Where the games cannot be restored, new ones are played, not those of the run's beginning again.
        generation = self._learner.updates
        self._env = make_vector(config.env, config.actor.num_envs, trust=config.trust)
        self._actor = Actor(self._env, agent, config.actor.unroll_length, actor_seed(config.seed, 0, generation))
        if state is not None and not ("actor" in state and self._actor.set_state(state["actor"])):
            say("the games could not be restored: their episodes start anew")

    def update(self) -> dict[str, Any]:
        """Play and learn once."""
        rollouts = []
        for _ in range(self._rollouts_per_batch):
            self._actor.weights_version = self._learner.updates
            rollouts.append(self._actor.unroll())
        return self._learner.update(rollouts) | {"queue": 0, "restarts": 0}

    def get_state(self) -> dict[str, Any]:
        """The learner's and the actor's state: everything."""
        return {"learner": self._learner.get_state(), "actor": self._actor.get_state()}

    def close(self) -> None:
        """Close the games."""
        self._env.close()
