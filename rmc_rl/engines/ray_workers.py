"""What lives in Ray's processes, an actor in each or a learner, and the learners seen as one from outside."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from rmc_rl.building import build_agent, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import make_vector
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.data_parallel import LearnerGroup
from rmc_rl.impala.learner import Learner, alone
from rmc_rl.impala.rollout import Rollout
from rmc_rl.profiling import Profiled
from rmc_rl.spaces import Interface


@dataclass(frozen=True)
class Played:
    """What an actor tells the driver of a rollout, which itself the driver never sees."""

    steps: int
    """Valid steps in it."""
    seconds: float
    """Time it took."""
    env_seconds: float
    """How much of it the games' steps took."""
    idle_seconds: float
    """Time the actor waited before it."""


class ActorProcess:
    """Lives in an actor's process: an `Actor` and its games."""

    def __init__(self, config: Config, interface: Interface, seed: int, trace: Path | None = None) -> None:
        prepare_process(config.engine.actor_threads)
        agent = build_agent(config, interface)
        env = make_vector(config.env, config.actor.num_envs, trust=config.trust)
        self._actor = Actor(env, agent, config.actor.unroll_length, seed)
        self._profiled = Profiled(trace)
        self._ended = time.perf_counter()

    def ready(self) -> None:
        """Returns once the process has found a place and can play."""

    @ray.method(num_returns=2)
    def unroll(self, weights: tuple[dict[str, np.ndarray], int]) -> tuple[Rollout, Played]:
        """One rollout with these weights."""
        started = time.perf_counter()
        state_dict, version = weights
        self._actor.load_weights(state_dict, version)  # a restarted learner counts its versions anew: always load
        env_seconds = self._actor.env_seconds
        rollout = self._profiled(self._actor.unroll)
        waited, self._ended = started - self._ended, time.perf_counter()
        env_seconds = self._actor.env_seconds - env_seconds
        return rollout, Played(int(rollout.valid.sum()), self._ended - started, env_seconds, waited)


class LearnerProcess:
    """Lives in a learner's process: a `Learner`, alone or one of several."""

    def __init__(self, config: Config, interface: Interface, threads: int, device: str, trace: Path | None) -> None:
        prepare_process(1)
        self._config, self._interface, self._threads, self._device = config, interface, threads, device
        self._profiled = Profiled(trace)

    def meet(self) -> tuple[str, int]:
        """The address at which the other learners find this one."""
        self._listening = socket.create_server((ray.util.get_node_ip_address(), 0))
        host, port = self._listening.getsockname()
        return host, port

    def start(self, state: dict[str, Any] | None, *addresses: tuple[str, int]) -> None:
        """Get ready to learn, from a state or from the beginning, with the learners that meet at these addresses."""
        config, device = self._config, self._device
        group = LearnerGroup(self._listening, addresses, device, config.engine.timeout) if addresses else None
        self._is_first = group is None or group.rank == 0
        all_reduce = alone if group is None else group.all_reduce
        agent = build_agent(config, self._interface, seed=config.seed)
        self._learner = Learner(agent, config.learner, config.total_steps, device, self._threads, all_reduce)
        if state is not None:
            self._learner.set_state(state)

    @ray.method(num_returns=2)
    def update(self, *rollouts: Rollout) -> tuple[dict[str, Any], tuple[dict[str, np.ndarray], int] | None]:
        """Figures of one update, and from the first learner the weights after it, which all of them have."""
        figures = self._profiled(self._learner.update, rollouts)
        return figures, self.weights() if self._is_first else None

    def weights(self) -> tuple[dict[str, np.ndarray], int]:
        """Weights and the number of updates behind them."""
        return self._learner.weights(), self._learner.updates

    def get_state(self) -> dict[str, Any]:
        """The learner's state."""
        return self._learner.get_state()


class Learners:
    """The learner, or several that learn as one: they begin together, update together and end together.

    All results are Ray's references.

    Attributes:
        processes: handles of each `LearnerProcess`; the first gives weights and state.
    """

    def __init__(self, config: Config, interface: Interface) -> None:
        self._config = config
        self._interface = interface
        self.processes: list[Any] = []

    def start(self, state: dict[str, Any] | None, threads: int, device: str, trace: Path | None = None) -> list[Any]:
        """End those there are and begin anew; the results are finished when all are ready."""
        self.kill()
        count, gpus = self._config.learner.count, 1 if device == "cuda" else 0
        learner_class: Any = ray.remote(LearnerProcess)
        new_learner = learner_class.options(num_cpus=threads, num_gpus=gpus, enable_task_events=False)
        self.processes = [
            new_learner.remote(self._config, self._interface, threads, device, trace if number == 0 else None)
            for number in range(count)
        ]
        addresses = [learner.meet.remote() for learner in self.processes] if count > 1 else []
        return [learner.start.remote(state, *addresses) for learner in self.processes]

    def update(self, rollouts: Sequence[Any]) -> tuple[list[Any], Any]:
        """Each learner's figures of one update, and the weights after it; every learner gets as many rollouts."""
        share = len(rollouts) // len(self.processes)
        results = [
            learner.update.remote(*rollouts[number * share : (number + 1) * share])
            for number, learner in enumerate(self.processes)
        ]
        return [figures for figures, _ in results], results[0][1]

    def weights(self) -> Any:
        """Weights and the number of updates behind them."""
        return self.processes[0].weights.remote()

    def get_state(self) -> Any:
        """The state of any of them, which is that of all."""
        return self.processes[0].get_state.remote()

    def kill(self) -> None:
        """End them at once: where one has died the others wait for it."""
        for learner in self.processes:
            ray.kill(learner)
