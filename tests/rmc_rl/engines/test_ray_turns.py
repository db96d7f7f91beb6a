"""The Ray engine's bookkeeping against a simulated Ray, in which playing and learning take made-up times."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from rmc_rl.config import make_config
from rmc_rl.engines import ray as module
from rmc_rl.engines.ray import Played, RayEngine


@dataclass(eq=False)
class Reference:
    ready: float
    value: Any = None


@dataclass
class World:
    """A clock, and processes that do one thing after another."""

    now: float = 0.0
    free: dict[str, float] = field(default_factory=dict)
    unrolls: Counter[int] = field(default_factory=Counter)
    waiting_most: int = 0
    updates_started: int = 0
    given_early: int = 0
    lags: list[int] = field(default_factory=list)
    dropped: int = 0

    def task(self, process: str, duration: float, value: Any) -> Reference:
        self.free[process] = max(self.now, self.free.get(process, 0.0)) + duration
        return Reference(self.free[process], value)

    def wait(self, references: list[Reference], **_: Any) -> tuple[list[Reference], list[Reference]]:
        first = min(references, key=lambda reference: reference.ready)
        self.now = max(self.now, first.ready)
        return [first], [reference for reference in references if reference is not first]


def simulate(
    actors: int, learner_time: float, updates: int, *words: str, slow: Mapping[int, float] = MappingProxyType({})
) -> World:
    """Unrolls take 1, those of `slow` actors longer; an update takes `learner_time`."""
    world = World()
    done = SimpleNamespace(updates=0)
    engine = object.__new__(RayEngine)

    def actor(number: int) -> Any:
        def unroll(weights: Any) -> tuple[Any, Reference]:
            world.unrolls[number] += 1
            duration = slow.get(number, 1.0)
            return Reference(0.0, weights), world.task(f"actor {number}", duration, Played(100, duration, 0.0, 0.0))

        return SimpleNamespace(unroll=SimpleNamespace(remote=unroll))

    def update(rollouts: list[Reference]) -> tuple[list[Reference], int]:
        done.updates += 1
        world.given_early += world.free.get("learner", 0.0) > world.now
        world.lags += [done.updates - 1 - rollout.value for rollout in rollouts]
        figures = {"updates": done.updates, "steps": 100 * done.updates}
        return [world.task("learner", learner_time, figures)], done.updates

    engine._config = make_config(*words)
    engine._batch, engine._joined = engine._config.learner.rollouts_per_batch, False
    engine._should_stop = lambda: False
    engine._actors = {number: actor(number) for number in range(actors)}
    engine._learners = SimpleNamespace(update=update)
    engine._weights = 0
    engine._playing, engine._ready, engine._learning, engine._stale = {}, deque(), deque(), set()
    engine._failures, engine._restarts, engine._learner_failures = {}, 0, 0
    engine._updates = engine._steps = engine._dropped = 0
    engine._looked = 0.0
    engine._acting = dict.fromkeys(("acted_steps", "acting_seconds", "env_seconds", "acting_idle_seconds"), 0.0)
    for expected in range(1, updates + 1):
        figures = engine.update()
        assert figures is not None
        assert figures["updates"] == expected
        world.waiting_most = max(world.waiting_most, figures["queue"])
    world.updates_started, world.dropped = done.updates, engine._dropped
    return world


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds: list[World] = []
    original = World.__init__

    def remember(self: World, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        worlds.append(self)

    monkeypatch.setattr(World, "__init__", remember)
    fake = SimpleNamespace(wait=lambda *a, **k: worlds[-1].wait(*a, **k), get=lambda reference: reference.value)
    monkeypatch.setattr(module, "ray", fake)


@pytest.mark.parametrize("actors", [1, 2, 5, 15])
@pytest.mark.parametrize("learner_time", [0.05, 0.5, 1.0, 3.0])
def test_every_actor_gets_its_turn(actors: int, learner_time: float) -> None:
    world = simulate(actors, learner_time, 200)
    turns = [world.unrolls[number] for number in range(actors)]
    assert max(turns) - min(turns) <= 2, turns


@pytest.mark.parametrize("actors", [1, 2, 5])
@pytest.mark.parametrize("queued", [1, 3])
def test_what_waits_is_bounded(actors: int, queued: int) -> None:
    world = simulate(actors, 50.0, 40, f"engine.max_queued_batches={queued}")
    assert world.waiting_most <= queued + actors


def test_a_fast_learner_has_all_actors_playing() -> None:
    world = simulate(4, 0.01, 200)
    assert world.now < 200 / 4 * 1.2


@pytest.mark.parametrize("learner_time", [0.2, 3.0])
def test_no_update_is_started_when_the_budget_is_spent(learner_time: float) -> None:
    world = simulate(3, learner_time, 10, "total_steps=1000")  # 100 steps an update
    assert world.updates_started == 10


@pytest.mark.parametrize("actors", [1, 2, 5])
def test_a_slow_learner_finds_its_next_batch_ready(actors: int) -> None:
    world = simulate(actors, 3.0, 50)
    assert world.given_early >= 49  # all but the first


@pytest.mark.parametrize("actors", [1, 3])
def test_weights_are_hardly_older_than_they_must_be(actors: int) -> None:
    world = simulate(actors, 3.0, 60)
    assert max(world.lags) <= actors + 1


def test_rollouts_that_are_too_old_are_dropped_and_counted() -> None:
    limited = simulate(3, 0.1, 120, "engine.max_policy_lag=6", slow={0: 12.0})
    free = simulate(3, 0.1, 120, slow={0: 12.0})
    assert max(free.lags) > 6 >= max(limited.lags)
    assert limited.dropped >= 3
    assert free.dropped == 0


def test_a_cluster_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a place is mentioned once; where the cluster has grown more actors are started."""
    clock, said, nodes = {"now": 1000.0}, list[str](), [2.0, 1.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    monkeypatch.setattr(module, "cluster_cpus", lambda: nodes)
    engine = object.__new__(RayEngine)
    engine._config, engine._say = make_config("engine.address=auto"), said.append
    engine._joined, engine._threads, engine._looked_for_nodes, engine._patient_until = True, 1, 1000.0, 1020.0
    engine._actors = {0: None, 1: None}
    engine._playing = {number: module._Unroll(number, None, 0, float("inf")) for number in engine._actors}
    monkeypatch.setattr(engine, "_start_actor", lambda number, _: engine._actors.update({number: None}))
    for _ in range(40):
        clock["now"] += 1.0
        engine._look_at_cluster()
    assert said == ["waiting for a place on the cluster: each actor needs 1 of a node's CPUs"]
    nodes.append(4.0)
    engine._look_at_cluster()
    assert len(engine._actors) == 2, "it was looked at a moment ago"
    clock["now"] += 5.0
    engine._look_at_cluster()
    assert list(engine._actors) == [0, 1, 2, 3, 4, 5]
    assert said[1:] == ["the cluster has grown: 6 actors now"]
    nodes.clear()  # who has no place waits
    clock["now"] += 5.0
    engine._look_at_cluster()
    assert len(engine._actors) == 6
    assert len(said) == 2


def test_who_makes_no_progress_is_killed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    clock = {"now": 1000.0}
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    monkeypatch.setattr(module, "ray", SimpleNamespace(kill=killed.append))
    engine, said = object.__new__(RayEngine), list[str]()
    engine._config, engine._say, engine._who = make_config("engine.timeout=60"), said.append, "the learner"
    engine._actors = {0: "first", 1: "second", 2: "third"}
    engine._learners = SimpleNamespace(kill=lambda: killed.append("learner"))
    deadlines = {"a": (0, "rollout", 1001.0), "b": (1, "rollout", 5000.0), "c": (2, None, 1001.0)}
    engine._playing = {key: module._Unroll(number, what, 0, end) for key, (number, what, end) in deadlines.items()}
    engine._learning = deque([module._Update([], None, 0, 1001.2), module._Update([], None, 0)])
    engine._looked = 999.5
    engine._replace_who_hangs()
    clock["now"] = 3000.0  # nobody looked: that is no one's fault
    engine._replace_who_hangs()
    assert killed == []
    for _ in range(4):
        clock["now"] += 0.5
        engine._replace_who_hangs()
    assert killed == ["first", "third", "learner"]
    after = "made no progress for engine.timeout = 60 s"
    assert said == [f"actor 0 {after}", "actor 2 has not started after 300 s", f"the learner {after}"]


@pytest.mark.parametrize(("timeout", "seconds"), [(20, 300), (900, 900)])
def test_a_start_has_time_whatever_a_step_has(timeout: float, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    engine = object.__new__(RayEngine)
    engine._config, engine._interface = make_config(f"engine.timeout={timeout}"), None
    engine._joined, engine._generation, engine._restarts, engine._updates = False, 0, 0, 0
    ready = SimpleNamespace(remote=lambda: "ready")
    engine._new_actor = SimpleNamespace(remote=lambda *_: SimpleNamespace(ready=ready))
    engine._actors, engine._playing = {}, {}
    engine._start_actor(0)
    assert engine._playing["ready"].deadline == 1000.0 + seconds
