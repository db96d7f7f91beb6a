"""Actors and the learner as Ray actors: each in a process of its own, on one machine.

    actor processes ── rollouts ──▶ object store ──▶ learner process
          ▲                                             │
          └───────────── weights ◀── object store ◀─────┘

The driver passes object references, never arrays. An actor takes the newest finished weights at the start of each
unroll. Where `max_queued_batches` batches wait for the learner no actor starts another unroll, so at most that and one
rollout per actor are waiting; the actor that has paused longest plays next.
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
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

# Read when ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray on Linux replaces the loopback address by the machine's own; this is the switch of the other systems, where it
# stays on the loopback address.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a process without a GPU keeps its CUDA variables
import ray
from ray._private import services
from ray.exceptions import RayActorError, RayTaskError

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config
from rmc_rl.environment import Interface, make_vector
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.impala.rollout import Rollout
from rmc_rl.seeds import actor_seed

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.5
CLOSE_SECONDS = 5.0
MAX_RESTARTS_WITHOUT_ROLLOUT = 3


class ActorProcess:
    """Lives in an actor's process: an `Actor` and its games."""

    def __init__(self, config: Config, interface: Interface, seed: int) -> None:
        prepare_process(config.engine.actor_threads)
        agent = build_agent(config, interface)
        env = make_vector(config.env, config.actor.num_envs, trust=config.trust)
        self._actor = Actor(env, agent, config.actor.unroll_length, seed)

    @ray.method(num_returns=2)
    def unroll(self, weights: tuple[dict[str, np.ndarray], int]) -> tuple[Rollout, None]:
        """One rollout with these weights; the None arrives with it and tells the driver so."""
        state_dict, version = weights
        self._actor.load_weights(state_dict, version)  # a restarted learner counts its versions anew: always load
        return self._actor.unroll(), None


class LearnerProcess:
    """Lives in the learner's process."""

    def __init__(
        self, config: Config, interface: Interface, threads: int, device: str, state: dict[str, Any] | None
    ) -> None:
        prepare_process(threads)
        self._learner = Learner(
            build_agent(config, interface, seed=config.seed), config.learner, config.total_steps, device
        )
        if state is not None:
            self._learner.set_state(state)

    @ray.method(num_returns=2)
    def update(self, *rollouts: Rollout) -> tuple[dict[str, Any], tuple[dict[str, np.ndarray], int]]:
        """Figures of one update, and the weights after it."""
        figures = self._learner.update(rollouts)
        return figures, self.weights()

    def weights(self) -> tuple[dict[str, np.ndarray], int]:
        """Weights and the number of updates behind them."""
        return self._learner.weights(), self._learner.updates

    def get_state(self) -> dict[str, Any]:
        """The learner's state."""
        return self._learner.get_state()


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
            self._learner: Any = self._new_learner(None if state is None else state["learner"])
            self._actor_class: Any = ray.remote(num_cpus=config.engine.actor_threads)(ActorProcess)
            self._actors = {number: self._start_actor(number) for number in range(num_actors)}
            self._weights = self._learner.weights.remote()
            with _as_raised_in_the_process():
                self._wait_for_learner()
        except BaseException:
            self.close()
            raise
        self._playing: dict[Any, tuple[int, Any]] = {}  # sign of completion -> (actor's number, its rollout)
        self._ready: deque[Any] = deque()  # rollouts waiting for the learner
        self._learning: tuple[Any, Any] | None = None  # (figures, weights) under way
        self._stale: set[Any] = set()  # under way with weights of a learner that died

    def update(self) -> dict[str, Any] | None:
        """Keep the actors playing until the learner has finished an update."""
        with _as_raised_in_the_process():
            return self._update()

    def _update(self) -> dict[str, Any] | None:
        while True:
            stopping = self._should_stop()
            if stopping and self._learning is None:
                return None
            if not stopping:
                self._keep_busy()
            # Once a stop is asked for, only the update under way is waited for: its figures belong to the checkpoint.
            waiting = [] if stopping else list(self._playing)
            if self._learning is not None:
                waiting.append(self._learning[0])
            finished, _ = ray.wait(waiting, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for reference in finished:
                if self._learning is not None and reference == self._learning[0]:
                    try:
                        figures: dict[str, Any] = ray.get(reference)
                    except RayActorError as error:
                        self._restart_learner(error)
                        break
                    self._weights = self._learning[1]
                    self._learning = None
                    self._updates, self._learner_failures = figures["updates"], 0
                    if figures["steps"] < self._config.total_steps and not self._should_stop():
                        self._keep_busy()  # the learner works on while the driver reports
                    return figures | {"queue": len(self._ready), "restarts": self._restarts}
                self._collect(reference)

    def _keep_busy(self) -> None:
        batch = self._config.learner.rollouts_per_batch
        if self._learning is None and len(self._ready) >= batch:
            rollouts = [self._ready.popleft() for _ in range(batch)]
            self._learning = self._learner.update.remote(*rollouts)
        playing = {number for number, _ in self._playing.values()}
        for number in [number for number in self._actors if number not in playing]:
            if len(self._ready) >= batch * self._config.engine.max_queued_batches:
                break
            # Behind all others now: whoever has waited longest plays next.
            actor = self._actors[number] = self._actors.pop(number)
            rollout, done = actor.unroll.remote(self._weights)
            self._playing[done] = (number, rollout)

    def _collect(self, done: Any) -> None:
        """A rollout is ready, or its actor died: then another takes its place."""
        number, rollout = self._playing.pop(done)
        try:
            ray.get(done)
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
        if done in self._stale:
            self._stale.remove(done)
        else:
            self._ready.append(rollout)

    def _restart_learner(self, error: RayActorError) -> None:
        """The learner died: another goes on from the last checkpoint, or from the start where there is none.

        What was acted meanwhile came from weights that no longer exist, so it is dropped.
        """
        self._learner_failures += 1
        if self._learner_failures > MAX_RESTARTS_WITHOUT_ROLLOUT:
            raise UserError(f"the learner died {self._learner_failures} times in a row: {error}") from error
        state = self._last_state()
        updates = 0 if state is None else int(state["learner"]["updates"])
        dropped = len(self._ready) + len(self._playing)
        self._learner = self._new_learner(None if state is None else state["learner"])
        self._weights = self._learner.weights.remote()
        self._learning = None
        self._ready.clear()
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

    def _start_actor(self, number: int) -> Any:
        seed = actor_seed(self._config.seed, number, self._generation + self._restarts)
        return self._actor_class.remote(self._config, self._interface, seed)

    def get_state(self) -> dict[str, Any] | None:
        """The learner's state, after the updates under way; None where it has died, which `update` will mend."""
        try:
            with _as_raised_in_the_process():
                return {"learner": ray.get(self._learner.get_state.remote())}
        except ProcessDiedError:
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

    On a CPU learning costs about three times what acting does, so the learner gets the larger share of the threads.
    """
    cores = available_cores()
    threads = config.engine.learner_threads
    if threads is None:
        threads = 1 if device == "cuda" else max(1, round(0.7 * cores))
    actors = config.actor.num_actors
    if actors is None:
        actors = max(1, (cores - threads) // config.engine.actor_threads)
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
