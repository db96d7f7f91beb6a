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
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

# Read when ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray on Linux replaces the loopback address by the machine's own; this is the switch of the other systems, where it
# stays on the loopback address.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Ray keeps a record of every task for its dashboard: several kilobytes an update, and a third of a small one's time.
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a process without a GPU keeps its CUDA variables
import ray
from ray._private import services
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import Interface, make_vector
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.impala.rollout import Rollout
from rmc_rl.profiling import Profiled
from rmc_rl.seeds import actor_seed

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.5
CLOSE_SECONDS = 5.0
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
        rollout = self._profiled(self._actor.unroll)
        waited, self._ended = started - self._ended, time.perf_counter()
        return rollout, Played(int(rollout.valid.sum()), self._ended - started, waited)


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
        self._acting = dict.fromkeys(("acted_steps", "acting_seconds", "acting_idle_seconds"), 0.0)

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
        waiting = len(self._ready) + self._config.learner.rollouts_per_batch * max(len(self._learning) - 1, 0)
        counts = {"queue": waiting, "restarts": self._restarts, "dropped_rollouts": self._dropped}
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
            # A batch that the learner has been given, and not begun with, waits as well.
            waiting = len(self._ready) + batch * max(len(self._learning) - 1, 0)
            if waiting >= batch * self._config.engine.max_queued_batches:
                break
            # Behind all others now: whoever has waited longest plays next.
            actor = self._actors[number] = self._actors.pop(number)
            rollout, played = actor.unroll.remote(self._weights)
            deadline = time.monotonic() + self._config.engine.timeout
            self._playing[played] = _Unroll(number, rollout, self._updates, deadline)

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
        with _undisturbed():
            if self._closed:
                return
            self._closed = True
            processes = _processes_of_ray(self._temporary)
            try:
                ray.shutdown()
            finally:
                # Under load some outlive Ray's patience, and Ray does not know those of a start that was interrupted.
                processes += _processes_of_ray(self._temporary)
                for process in processes:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                psutil.wait_procs(processes, timeout=CLOSE_SECONDS)
                shutil.rmtree(self._temporary, ignore_errors=True)  # now that nobody writes there


def _processes_of_ray(temporary: str) -> list[psutil.Process]:
    """Those started with an option that names Ray's temporary folder, and all they started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word.startswith("-") and temporary in word for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C has no effect meanwhile: half a shutdown leaves processes and files behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)


def make_temporary_folder() -> str:
    """A folder for Ray's sockets and logs, named by this process; those of processes killed outright are removed.

    It cannot lie in the run folder: the path of a socket is limited to about a hundred characters.
    """
    for left in Path(tempfile.gettempdir()).glob("rmc-rl-*-*"):
        owner = left.name.split("-")[2]
        with contextlib.suppress(OSError):  # another run may be removing it too
            if owner.isdigit() and not psutil.pid_exists(int(owner)) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"rmc-rl-{os.getpid()}-")


def start_ray(config: Config, num_actors: int, learner_threads: int, temporary: str) -> None:
    """Start Ray for this run alone: on the loopback address, without dashboard, with a stated object store.

    Raises:
        UserError: Ray is running in this process already, or does not start.
    """
    if ray.is_initialized():
        raise UserError("Ray is running in this process already: call ray.shutdown() first, or use engine=inline")
    needed = num_actors * config.engine.actor_threads + learner_threads
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with _process_groups_of_their_own():
            ray.init(
                address="local",
                num_cpus=max(needed, available_cores()),
                object_store_memory=config.engine.object_store_mb * 2**20,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=LOOPBACK,
                _temp_dir=temporary,
            )
    except Exception as error:
        raise UserError(f"Ray does not start ({error}): engine=inline trains without it") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)  # Ray puts its own in place, which leaves without saving
    address = ray.util.get_node_ip_address()
    if address != LOOPBACK:
        raise UserError(
            f"Ray would listen on {address}, open to the network, because ray was imported before rmc_rl: "
            "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 in the environment, or use engine=inline"
        )


@contextlib.contextmanager
def _process_groups_of_their_own() -> Iterator[None]:
    """Keep Ray's daemons, and with them every actor, out of this process's group.

    Ctrl-C in a terminal, `timeout` and most job managers signal the whole group. The daemons would stop at SIGTERM
    before the learner's state could be saved, and take this process with them. Ray has no setting for it; where its
    internals have changed, only that protection is lost. They still die with this process, however it ends.
    """
    internals: Any = services
    popen = getattr(internals, "ConsolePopen", None)
    if popen is None or os.name != "posix":
        yield
        return
    internals.ConsolePopen = functools.partial(popen, process_group=0)
    try:
        yield
    finally:
        internals.ConsolePopen = popen


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
