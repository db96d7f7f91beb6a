"""Actors and the learner as Ray actors: each in a process of its own, on one machine.

    actor processes ── rollouts ──▶ object store ──▶ learner process
          ▲                                             │
          └───────────── weights ◀── object store ◀─────┘

The driver passes object references, never arrays. An actor takes the newest finished weights at the start of each
unroll; Ray brings them to each machine once. Where `max_queued_batches` batches wait for the learner no actor starts
another unroll, so at most that and one rollout per actor are waiting; the actor that has paused longest plays next. The
learner is given its next batch while it works on one, so that it need not wait for the driver in between.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmc_rl.engines.ray_processes import make_temporary_folder, start_ray, stop_ray  # before ray: how it is set up

# isort: split
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import make_vector
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.impala.rollout import Rollout
from rmc_rl.profiling import Profiled
from rmc_rl.seeds import actor_seed
from rmc_rl.spaces import Interface

POLL_SECONDS = 0.5
MAX_RESTARTS_WITHOUT_ROLLOUT = 3
ACTORS_SHARE = 0.4
"""Of a CPU's cores; learning takes the rest, and what is left of these."""
UPDATES_UNDER_WAY = 2
"""One that the learner works on and one that it finds ready."""


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
    """Lives in the learner's process."""

    def __init__(
        self,
        config: Config,
        interface: Interface,
        threads: int,
        device: str,
        state: dict[str, Any] | None,
        trace: Path | None = None,
    ) -> None:
        self._profiled = Profiled(trace)
        prepare_process(1)
        agent = build_agent(config, interface, seed=config.seed)
        self._learner = Learner(agent, config.learner, config.total_steps, device, threads)
        if state is not None:
            self._learner.set_state(state)

    @ray.method(num_returns=2)
    def update(self, *rollouts: Rollout) -> tuple[dict[str, Any], tuple[dict[str, np.ndarray], int]]:
        """Figures of one update, and the weights after it."""
        figures = self._profiled(self._learner.update, rollouts)
        return figures, self.weights()

    def weights(self) -> tuple[dict[str, np.ndarray], int]:
        """Weights and the number of updates behind them."""
        return self._learner.weights(), self._learner.updates

    def get_state(self) -> dict[str, Any]:
        """The learner's state."""
        return self._learner.get_state()


@dataclass
class _Unroll:
    """An unroll under way, or played and waiting for the learner."""

    actor: int
    rollout: Any
    """Reference of a `Rollout`."""
    updates: int
    """Behind the weights that act."""
    deadline: float
    played: Played | None = None


@dataclass
class _Update:
    """An update that the learner has been given."""

    figures: Any
    weights: Any
    """References, as the next."""
    steps: int
    deadline: float = float("inf")
    """Until the learner begins with it there is none."""


class RayEngine:
    """Starts Ray and everything on it; `close` leaves nothing running."""

    def __init__(
        self,
        config: Config,
        interface: Interface,
        state: dict[str, Any] | None,
        last_state: Callable[[], dict[str, Any] | None],
        should_stop: Callable[[], bool],
        say: Callable[[str], None],
        traces: Path | None = None,
    ) -> None:
        self._config = config
        self._interface = interface
        self._last_state = last_state
        self._should_stop = should_stop
        self._say = say
        self._restarts = 0
        self._learner_failures = 0
        self._updates = 0 if state is None else int(state["learner"]["updates"])
        self._failures: dict[int, int] = {}
        self._generation = self._updates
        device = learner_device(config)
        num_actors, threads = share_cores(config, device)
        if state is not None:
            say("the games of a distributed run are not part of its checkpoints: their episodes start anew")
        self._temporary = make_temporary_folder()
        self._closed = False
        try:
            start_ray(config, num_actors, threads, self._temporary)
            gpus = 1 if device == "cuda" else 0
            learner_class: Any = ray.remote(num_cpus=threads, num_gpus=gpus)(LearnerProcess)
            self._new_learner = functools.partial(learner_class.remote, config, interface, threads, device)
            learner_state = None if state is None else state["learner"]
            self._learner: Any = self._new_learner(learner_state, traces and traces / "learner.json.gz")
            self._actor_class: Any = ray.remote(num_cpus=config.engine.actor_threads)(ActorProcess)
            self._actors = {
                number: self._start_actor(number, traces / "actor.json.gz" if traces and number == 0 else None)
                for number in range(num_actors)
            }
            self._weights = self._learner.weights.remote()
            with _as_raised_in_the_process():
                self._wait_for_learner()
        except BaseException:
            self.close()
            raise
        self._playing: dict[Any, _Unroll] = {}  # by the reference of their `Played`
        self._ready: deque[_Unroll] = deque()  # rollouts waiting for the learner
        self._learning: deque[_Update] = deque()
        self._stale: set[Any] = set()  # under way with weights of a learner that died
        self._steps = 0 if state is None else int(state["learner"]["steps"])
        self._dropped = 0
        self._looked = time.monotonic()
        self._acting = dict.fromkeys(("acted_steps", "acting_seconds", "env_seconds", "acting_idle_seconds"), 0.0)

    def update(self) -> dict[str, Any] | None:
        """Keep the actors playing until the learner has finished an update."""
        with _as_raised_in_the_process():
            return self._update()

    def _update(self) -> dict[str, Any] | None:
        while True:
            stopping = self._should_stop()
            if stopping and not self._learning:
                return None
            if not stopping:
                self._keep_busy()
            self._replace_who_hangs()
            # Once a stop is asked for, only updates under way are waited for: their figures belong to the checkpoint.
            waiting = [] if stopping else list(self._playing)
            if self._learning:
                waiting.append(self._learning[0].figures)
            finished, _ = ray.wait(waiting, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for reference in finished:
                if self._learning and reference == self._learning[0].figures:
                    try:
                        figures: dict[str, Any] = ray.get(reference)
                    except RayActorError as error:
                        self._restart_learner(error)
                        break
                    return self._finish(figures)
                self._collect(reference)

    def _finish(self, figures: dict[str, Any]) -> dict[str, Any]:
        """The learner has finished an update: its weights are the newest now."""
        self._weights = self._learning.popleft().weights
        self._updates, self._steps = figures["updates"], figures["steps"]
        self._learner_failures = 0
        self._begin_next()
        if not self._should_stop():
            self._keep_busy()  # actors and learner work on while the driver reports
        acting, self._acting = self._acting, dict.fromkeys(self._acting, 0.0)
        counts = {"queue": self._waiting(), "restarts": self._restarts, "dropped_rollouts": self._dropped}
        return figures | acting | counts | {"actors": len(self._actors)}

    def _begin_next(self) -> None:
        if self._learning:
            self._learning[0].deadline = time.monotonic() + self._config.engine.timeout

    def _keep_busy(self) -> None:
        batch = self._config.learner.rollouts_per_batch
        while self._has_batch() and len(self._learning) < UPDATES_UNDER_WAY and not self._spent():
            unrolls = [self._ready.popleft() for _ in range(batch)]
            figures, weights = self._learner.update.remote(*(unroll.rollout for unroll in unrolls))
            self._learning.append(_Update(figures, weights, sum(each.played.steps for each in unrolls if each.played)))
            if len(self._learning) == 1:
                self._begin_next()
        if self._spent():
            return
        playing = {unroll.actor for unroll in self._playing.values()}
        for number in [number for number in self._actors if number not in playing]:
            if self._waiting() >= batch * self._config.engine.max_queued_batches:
                break
            # Behind all others now: whoever has waited longest plays next.
            actor = self._actors[number] = self._actors.pop(number)
            rollout, played = actor.unroll.remote(self._weights)
            deadline = time.monotonic() + self._config.engine.timeout
            self._playing[played] = _Unroll(number, rollout, self._updates, deadline)

    def _waiting(self) -> int:
        """Rollouts that wait for the learner, those among them that it has been given and not begun with."""
        return len(self._ready) + self._config.learner.rollouts_per_batch * max(len(self._learning) - 1, 0)

    def _has_batch(self) -> bool:
        """Whether enough rollouts are ready; those whose weights are too old by now are dropped, and counted."""
        limit = self._config.engine.max_policy_lag
        if limit is not None:
            oldest = self._updates + len(self._learning) - limit  # updates under way come before theirs
            fresh = [unroll for unroll in self._ready if unroll.updates >= oldest]
            self._dropped += len(self._ready) - len(fresh)
            self._ready = deque(fresh)
        return len(self._ready) >= self._config.learner.rollouts_per_batch

    def _spent(self) -> bool:
        """Whether the updates under way spend the budget."""
        return self._steps + sum(update.steps for update in self._learning) >= self._config.total_steps

    def _replace_who_hangs(self) -> None:
        """Kill what has made no progress for too long; its end is then seen, and mended, like any other."""
        now = time.monotonic()
        # While nobody looked (Ctrl-Z, a debugger, a slow disk) the others may have been stopped as well.
        unseen = now - self._looked - POLL_SECONDS
        self._looked = now
        if unseen > POLL_SECONDS:
            for unroll in self._playing.values():
                unroll.deadline += unseen
            for update in self._learning:
                update.deadline += unseen
        after = f"made no progress for engine.timeout = {self._config.engine.timeout:g} s"
        for unroll in self._playing.values():
            if now > unroll.deadline:
                unroll.deadline = float("inf")
                self._say(f"actor {unroll.actor} {after}")
                ray.kill(self._actors[unroll.actor])
        if self._learning and now > self._learning[0].deadline:
            self._learning[0].deadline = float("inf")
            self._say(f"the learner {after}")
            ray.kill(self._learner)

    def _collect(self, done: Any) -> None:
        """A rollout is ready, or its actor died: then another takes its place."""
        unroll = self._playing.pop(done)
        number = unroll.actor
        try:
            unroll.played = played = ray.get(done)
        except RayActorError as error:
            self._stale.discard(done)
            self._failures[number] = self._failures.get(number, 0) + 1
            if self._failures[number] > MAX_RESTARTS_WITHOUT_ROLLOUT:
                raise UserError(f"actor {number} died {self._failures[number]} times in a row: {error}") from error
            self._restarts += 1
            self._say(f"actor {number} died and was replaced")
            self._actors[number] = self._start_actor(number)
            return
        self._failures[number] = 0
        self._acting["acted_steps"] += played.steps
        self._acting["acting_seconds"] += played.seconds
        self._acting["env_seconds"] += played.env_seconds
        self._acting["acting_idle_seconds"] += played.idle_seconds
        if done in self._stale:
            self._stale.remove(done)
        else:
            self._ready.append(unroll)

    def _restart_learner(self, error: RayActorError) -> None:
        """The learner died: another goes on from the last checkpoint, or from the start where there is none.

        What was acted meanwhile came from weights that no longer exist, so it is dropped.
        """
        self._learner_failures += 1
        if self._learner_failures > MAX_RESTARTS_WITHOUT_ROLLOUT:
            raise UserError(f"the learner died {self._learner_failures} times in a row: {error}") from error
        state = self._last_state()
        updates = 0 if state is None else int(state["learner"]["updates"])
        lost_batches = len(self._learning) * self._config.learner.rollouts_per_batch
        dropped = len(self._ready) + len(self._playing) + lost_batches
        self._learner = self._new_learner(None if state is None else state["learner"])
        self._weights = self._learner.weights.remote()
        self._learning.clear()
        self._ready.clear()
        self._dropped += dropped
        self._steps = 0 if state is None else int(state["learner"]["steps"])
        self._stale.update(self._playing)
        self._restarts += 1
        where = "from the start" if state is None else f"from the checkpoint after {updates:,} updates"
        lost = self._updates - updates
        self._say(f"the learner died and goes on {where}: {lost:,} updates lost, {dropped} rollouts dropped")
        self._updates = updates
        try:
            self._wait_for_learner()
        except RayActorError as again:
            self._restart_learner(again)

    def _wait_for_learner(self) -> None:
        """Until a new learner has its weights, or a stop is asked for; one that cannot start says so here."""
        while not self._should_stop():
            if ray.wait([self._weights], timeout=POLL_SECONDS)[0]:
                ray.get(self._weights)
                return

    def _start_actor(self, number: int, trace: Path | None = None) -> Any:
        seed = actor_seed(self._config.seed, number, self._generation + self._restarts)
        return self._actor_class.remote(self._config, self._interface, seed, trace)

    def get_state(self) -> dict[str, Any] | None:
        """The learner's state, after the updates under way; None where it has died, which `update` will mend."""
        try:
            with _as_raised_in_the_process():
                return {"learner": ray.get(self._learner.get_state.remote(), timeout=self._config.engine.timeout)}
        except (ProcessDiedError, GetTimeoutError):
            return None

    def close(self) -> None:
        """Stop Ray with all its processes and remove its temporary files; Ctrl-C does not cut it short."""
        if not self._closed:
            stop_ray(self._temporary)
            self._closed = True


def share_cores(config: Config, device: str) -> tuple[int, int]:
    """Number of actors and of the learner's threads, from the machine's cores where not configured.

    On a CPU learning costs about twice what acting does. The learner gets a thread for every core all the same: what
    the actors leave of their cores it takes, and as they wait for it they leave what it needs.
    """
    cores = available_cores()
    threads = config.engine.learner_threads
    if threads is None:
        threads = 1 if device == "cuda" else cores
    actors = config.actor.num_actors
    if actors is None:
        share = cores - 1 if device == "cuda" else ACTORS_SHARE * cores
        actors = max(1, round(share / config.engine.actor_threads))
    return actors, threads


class ProcessDiedError(UserError):
    """A process of the run ended without an error of its own."""


@contextlib.contextmanager
def _as_raised_in_the_process() -> Iterator[None]:
    """Raise an error of a Ray actor as it was raised there."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from error
        raise UserError(f"a process of the run failed: {error.cause}") from error
    except RayActorError as error:
        first = str(error).splitlines()[0]
        raise ProcessDiedError(f"a process of the run died (killed, or out of memory): {first}") from error
