"""Actors and learners as Ray actors: each in a process of its own, on one machine or spread over a cluster.

    actor processes ── rollouts ──▶ object store ──▶ learner process
          ▲                                             │
          └───────────── weights ◀── object store ◀─────┘

The driver passes object references, never arrays. An actor takes the newest finished weights at the start of each
unroll; Ray brings them to each machine once. Where `max_queued_batches` batches wait for the learner no actor starts
another unroll, so at most that and one rollout per actor are waiting; the actor that has paused longest plays next. The
learner is given its next batch while it works on one, so that it need not wait for the driver in between. Several
learners are handled as one (`rmc_rl.engines.ray_workers.Learners`).

On a cluster that was joined, processes wait where there is no room for them. The learners come first: actors that took
the room they need would have nobody to play for.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmc_rl.engines.ray_processes import (  # before ray: how it is set up
    cluster_cpus,
    join_ray,
    leave_ray,
    make_temporary_folder,
    start_ray,
    stop_ray,
)

# isort: split
import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayTaskError

from rmc_rl.config import Config
from rmc_rl.engines.ray_workers import ActorProcess, Learners, Played
from rmc_rl.engines.shares import (
    check_room,
    cluster_actors,
    cluster_device,
    cluster_threads,
    own_device,
    share_cores,
)
from rmc_rl.errors import UserError
from rmc_rl.impala.data_parallel import LearnerLostError, join_figures
from rmc_rl.seeds import actor_seed
from rmc_rl.spaces import Interface

POLL_SECONDS = 0.5
LOOK_SECONDS = 5.0
"""Between looks at a cluster's nodes."""
PATIENCE_SECONDS = 20.0
"""Who has not started on a cluster after so long probably has no place."""
START_SECONDS = 300.0
"""An actor has so long to start, or `engine.timeout` where that is longer: imports and compilation are no hanging."""
MAX_RESTARTS_WITHOUT_ROLLOUT = 3
NODE_DIED = "its node has died"
"""What Ray says of an actor that ended for no reason of its own; its error has no field for that."""
UPDATES_UNDER_WAY = 2
"""One that the learner works on and one that it finds ready."""


@dataclass
class _Unroll:
    """An unroll under way, or played and waiting for the learner; without a rollout the start of an actor."""

    actor: int
    rollout: Any
    """Reference of a `Rollout`."""
    updates: int
    """Behind the weights that act."""
    deadline: float
    played: Played | None = None


@dataclass
class _Update:
    """An update that the learners have been given."""

    figures: list[Any]
    """References, one for each learner."""
    weights: Any
    """A reference."""
    steps: int
    deadline: float = float("inf")
    """Until the learners begin with it there is none."""
    outstanding: list[Any] = field(init=False)
    """Those of the figures that have not come."""

    def __post_init__(self) -> None:
        self.outstanding = list(self.figures)


class RayEngine:
    """Starts Ray, or joins a cluster, and everything on it; `close` leaves nothing of it running."""

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
        if ray.is_initialized():
            raise UserError("Ray is running in this process already: call ray.shutdown() first, or use engine=inline")
        self._config = config
        self._interface = interface
        self._last_state = last_state
        self._should_stop = should_stop
        self._say = say
        self._batch = config.learner.count * config.learner.rollouts_per_batch
        self._who = "the learner" if config.learner.count == 1 else "a learner"
        self._restarts = 0
        self._learner_failures = 0
        self._updates = 0 if state is None else int(state["learner"]["updates"])
        self._steps = 0 if state is None else int(state["learner"]["steps"])
        self._failures: dict[int, int] = {}
        self._generation = self._updates
        self._actors: dict[int, Any] = {}
        self._playing: dict[Any, _Unroll] = {}  # by the reference of their `Played`
        self._ready: deque[_Unroll] = deque()  # rollouts waiting for the learner
        self._learning: deque[_Update] = deque()
        self._stale: set[Any] = set()  # under way with weights of a learner that died
        self._dropped = 0
        self._acting = dict.fromkeys(("acted_steps", "acting_seconds", "env_seconds", "acting_idle_seconds"), 0.0)
        self._joined = config.engine.address is not None
        self._looked = self._looked_for_nodes = time.monotonic()
        self._closed = False
        if state is not None:
            say("the games of a distributed run are not part of its checkpoints: their episodes start anew")
        if not self._joined:
            self._device = own_device(config)
            actors, self._threads = share_cores(config, self._device)
            self._temporary = make_temporary_folder()
        self._learners = Learners(config, interface)
        actor_class: Any = ray.remote(ActorProcess)
        self._new_actor = actor_class.options(
            num_cpus=config.engine.actor_threads, scheduling_strategy="SPREAD", enable_task_events=False
        )
        try:
            if config.engine.address is None:
                start_ray(config, actors, config.learner.count * self._threads, self._temporary)
            else:
                join_ray(config.engine.address)
                self._device = cluster_device(config, int(ray.cluster_resources().get("GPU", 0)))
                self._threads = cluster_threads(config, self._device, cluster_cpus())
                check_room(config, self._threads, cluster_cpus())
                actors = cluster_actors(config, self._threads, cluster_cpus())
            with _as_raised_in_the_process():
                self._start(None if state is None else state["learner"], actors, traces)
        except BaseException:
            self.close()
            raise

    def _start(self, state: dict[str, Any] | None, actors: int, traces: Path | None = None) -> None:
        """Start the learners and so many actors; one that cannot start says so here."""
        trace = traces and traces / "learner.json.gz"
        starting = self._learners.start(state, self._threads, self._device, trace)
        if not self._joined:
            self._add_actors(actors, traces)
        self._wait_for(starting)
        self._weights = self._learners.weights()
        if self._joined:
            self._add_actors(actors, traces)
            self._patient_until = time.monotonic() + PATIENCE_SECONDS

    def _wait_for(self, starting: list[Any]) -> None:
        """Until all learners have started, or a stop is asked for."""
        self._has_learners = False
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while starting and not self._should_stop():
            started, starting = ray.wait(starting, timeout=POLL_SECONDS)
            for reference in started:
                ray.get(reference)
            if self._joined and time.monotonic() > patient_until:
                patient_until = float("inf")
                needed = f"{self._threads} of a node's CPUs" + " and a GPU" * (self._device == "cuda")
                self._say(f"waiting for a place on the cluster: each learner needs {needed}")
        self._has_learners = not starting

    def _add_actors(self, count: int, traces: Path | None = None) -> None:
        for number in range(len(self._actors), len(self._actors) + count):
            self._start_actor(number, traces / "actor.json.gz" if traces and number == 0 else None)

    def _start_actor(self, number: int, trace: Path | None = None) -> None:
        seed = actor_seed(self._config.seed, number, self._generation + self._restarts)
        actor = self._actors[number] = self._new_actor.remote(self._config, self._interface, seed, trace)
        # On a cluster it may wait for a place, however long.
        deadline = float("inf") if self._joined else time.monotonic() + self._start_seconds
        self._playing[actor.ready.remote()] = _Unroll(number, None, self._updates, deadline)

    @property
    def _start_seconds(self) -> float:
        return max(self._config.engine.timeout, START_SECONDS)

    def update(self) -> dict[str, Any] | None:
        """Keep the actors playing until the learners have finished an update."""
        with _as_raised_in_the_process():
            return self._update()

    def _update(self) -> dict[str, Any] | None:
        while True:
            stopping = self._should_stop()
            if stopping and not self._learning:
                return None
            if not stopping:
                self._look_at_cluster()
                self._keep_busy()
            self._replace_who_hangs()
            # Once a stop is asked for, only updates under way are waited for: their figures belong to the checkpoint.
            waiting = [] if stopping else list(self._playing)
            if self._learning:
                waiting += self._learning[0].outstanding
            finished, _ = ray.wait(waiting, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for reference in finished:
                if reference in self._playing:
                    self._collect(reference)
                    continue
                update = self._learning[0]
                try:
                    ray.get(reference)
                except (RayActorError, LearnerLostError) as error:
                    self._restart_learners(error)
                    break
                except ObjectLostError as error:
                    self._lose_batch(error)
                    break
                update.outstanding.remove(reference)
                if not update.outstanding:
                    return self._finish(join_figures([ray.get(figures) for figures in update.figures]))

    def _finish(self, figures: dict[str, Any]) -> dict[str, Any]:
        """The learners have finished an update: their weights are the newest now."""
        self._weights = self._learning.popleft().weights
        self._updates, self._steps = figures["updates"], figures["steps"]
        self._learner_failures = 0
        self._begin_next()
        if not self._should_stop():
            self._keep_busy()  # actors and learners work on while the driver reports
        acting, self._acting = self._acting, dict.fromkeys(self._acting, 0.0)
        counts = {"queue": self._waiting(), "restarts": self._restarts, "dropped_rollouts": self._dropped}
        starting = sum(unroll.rollout is None for unroll in self._playing.values())
        return figures | acting | counts | {"actors": len(self._actors) - starting}

    def _begin_next(self) -> None:
        if self._learning:
            self._learning[0].deadline = time.monotonic() + self._config.engine.timeout

    def _keep_busy(self) -> None:
        while self._has_batch() and len(self._learning) < UPDATES_UNDER_WAY and not self._spent():
            unrolls = [self._ready.popleft() for _ in range(self._batch)]
            figures, weights = self._learners.update([unroll.rollout for unroll in unrolls])
            self._learning.append(_Update(figures, weights, sum(each.played.steps for each in unrolls if each.played)))
            if len(self._learning) == 1:
                self._begin_next()
        if self._spent():
            return
        playing = {unroll.actor for unroll in self._playing.values()}
        for number in [number for number in self._actors if number not in playing]:
            if self._waiting() >= self._batch * self._config.engine.max_queued_batches:
                break
            # Behind all others now: whoever has waited longest plays next.
            actor = self._actors[number] = self._actors.pop(number)
            rollout, played = actor.unroll.remote(self._weights)
            deadline = time.monotonic() + self._config.engine.timeout
            self._playing[played] = _Unroll(number, rollout, self._updates, deadline)

    def _waiting(self) -> int:
        """Rollouts that wait for the learners, those among them that they have been given and not begun with."""
        return len(self._ready) + self._batch * max(len(self._learning) - 1, 0)

    def _has_batch(self) -> bool:
        """Whether enough rollouts are ready; those whose weights are too old by now are dropped, and counted."""
        limit = self._config.engine.max_policy_lag
        if limit is not None:
            oldest = self._updates + len(self._learning) - limit  # updates under way come before theirs
            fresh = [unroll for unroll in self._ready if unroll.updates >= oldest]
            self._dropped += len(self._ready) - len(fresh)
            self._ready = deque(fresh)
        return len(self._ready) >= self._batch

    def _spent(self) -> bool:
        """Whether the updates under way spend the budget."""
        return self._steps + sum(update.steps for update in self._learning) >= self._config.total_steps

    def _look_at_cluster(self) -> None:
        """More actors on a cluster that has grown, where their number follows from it.

        Who waits for a place, because a node has gone, finds it on a new one without our doing.
        """
        now = time.monotonic()
        if not self._joined or now < self._looked_for_nodes + LOOK_SECONDS:
            return
        self._looked_for_nodes = now
        if now > self._patient_until:
            self._patient_until = float("inf")
            if sum(unroll.rollout is None for unroll in self._playing.values()) == len(self._actors):
                needed = f"{self._config.engine.actor_threads} of a node's CPUs"
                self._say(f"waiting for a place on the cluster: each actor needs {needed}")
        more = cluster_actors(self._config, self._threads, cluster_cpus()) - len(self._actors)
        if more > 0:
            self._add_actors(more)
            self._say(f"the cluster has grown: {len(self._actors)} actors now")

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
                starts = unroll.rollout is None
                what = f"has not started after {self._start_seconds:g} s" if starts else after
                self._say(f"actor {unroll.actor} {what}")
                ray.kill(self._actors[unroll.actor])
        if self._learning and now > self._learning[0].deadline:
            self._learning[0].deadline = float("inf")
            self._say(f"{self._who} {after}")
            self._learners.kill()

    def _collect(self, done: Any) -> None:
        """An actor has started or its rollout is ready, or it died: then another takes its place."""
        unroll = self._playing.pop(done)
        number, is_stale = unroll.actor, done in self._stale
        self._stale.discard(done)
        try:
            result = ray.get(done)
        except RayActorError as error:
            if self._joined and unroll.rollout is None and NODE_DIED in str(error):
                self._start_actor(number)  # it had been given to a node before that one's death was noticed
                return
            self._failures[number] = self._failures.get(number, 0) + 1
            if self._failures[number] > MAX_RESTARTS_WITHOUT_ROLLOUT:
                raise UserError(
                    f"actor {number} died {self._failures[number]} times in a row: {_reason(error)}"
                ) from error
            self._restarts += 1
            self._say(f"actor {number} died and was replaced")
            self._start_actor(number)
            return
        except ObjectLostError as error:  # the weights, with the node of the learner that gave them
            self._restart_learners(error)
            return
        if unroll.rollout is None:
            return
        unroll.played = played = result
        self._failures[number] = 0
        self._acting["acted_steps"] += played.steps
        self._acting["acting_seconds"] += played.seconds
        self._acting["env_seconds"] += played.env_seconds
        self._acting["acting_idle_seconds"] += played.idle_seconds
        if not is_stale:
            self._ready.append(unroll)

    def _lose_batch(self, error: ObjectLostError) -> None:
        """A rollout was lost, with its node, on the way to its learner."""
        if self._config.learner.count > 1:  # the others have begun, and wait for the one that cannot
            self._restart_learners(error)
            return
        self._learning.popleft()
        self._dropped += self._batch
        self._begin_next()

    def _restart_learners(self, error: Exception) -> None:
        """A learner died: all go on from the last checkpoint, or from the start where there is none.

        What was acted meanwhile came from weights that no longer exist, so it is dropped.
        """
        self._learner_failures += 1
        if self._learner_failures > MAX_RESTARTS_WITHOUT_ROLLOUT:
            times = f"{self._learner_failures} times in a row"
            raise UserError(f"{self._who} died {times}: {_reason(error)}") from error
        state = self._last_state()
        updates = 0 if state is None else int(state["learner"]["updates"])
        under_way = sum(unroll.rollout is not None for unroll in self._playing.values())
        dropped = len(self._ready) + under_way + len(self._learning) * self._batch
        self._learning.clear()
        self._ready.clear()
        self._dropped += dropped
        self._steps = 0 if state is None else int(state["learner"]["steps"])
        self._restarts += 1
        where = "from the start" if state is None else f"from the checkpoint after {updates:,} updates"
        lost = self._updates - updates
        goes = "goes" if self._config.learner.count == 1 else "all go"
        self._say(f"{self._who} died and {goes} on {where}: {lost:,} updates lost, {dropped} rollouts dropped")
        self._updates = updates
        actors = 0
        if self._joined:
            # The cluster may be another by now, and actors may have taken the learners' room.
            actors = len(self._actors)
            for actor in self._actors.values():
                ray.kill(actor)
            self._actors.clear()
            self._playing.clear()
            self._threads = cluster_threads(self._config, self._device, cluster_cpus())
        self._stale.update(self._playing)
        try:
            self._start(None if state is None else state["learner"], actors)
        except (RayActorError, LearnerLostError) as again:
            self._restart_learners(again)

    def get_state(self) -> dict[str, Any] | None:
        """The learners' state, after the updates under way; None where one has died, which `update` will mend."""
        if not self._has_learners:
            return None
        try:
            with _as_raised_in_the_process():
                return {"learner": ray.get(self._learners.get_state(), timeout=self._config.engine.timeout)}
        except (ProcessDiedError, ObjectLostError, GetTimeoutError):
            return None

    def close(self) -> None:
        """End all processes of the run, Ray's with them unless the cluster was joined; Ctrl-C does not cut it short."""
        if self._closed:
            return
        if self._joined:
            leave_ray([*self._learners.processes, *self._actors.values()])
        else:
            stop_ray(self._temporary)
        self._closed = True


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
        raise ProcessDiedError(f"a process of the run died: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a process died, in one line; an error in its constructor stands in Ray's last."""
    lines = str(error).strip().splitlines()
    return lines[-1] if "creation task" in lines[0] else f"killed, or out of memory ({lines[0]})"
