"""The Ray engine's bookkeeping against a simulated Ray, in which playing and learning take made-up times."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from rmc_rl.config import make_config
from rmc_rl.engines import ray as module
from rmc_rl.engines.ray import RayEngine


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

    def task(self, process: str, duration: float, value: Any) -> Reference:
        self.free[process] = max(self.now, self.free.get(process, 0.0)) + duration
        return Reference(self.free[process], value)

    def wait(self, references: list[Reference], **_: Any) -> tuple[list[Reference], list[Reference]]:
        first = min(references, key=lambda reference: reference.ready)
        self.now = max(self.now, first.ready)
        return [first], [reference for reference in references if reference is not first]


def simulate(actors: int, learner_time: float, updates: int, *words: str) -> World:
    """Unrolls take 1; an update takes `learner_time`."""
    world = World()
    done = SimpleNamespace(updates=0)
    engine = object.__new__(RayEngine)

    def remote(function: Any) -> Any:
        method = SimpleNamespace(remote=function)
        method.options = lambda **_: method
        return method

    def actor(number: int) -> Any:
        def unroll(weights: Any) -> tuple[Any, Reference]:
            world.unrolls[number] += 1
            return object(), world.task(f"actor {number}", 1.0, None)

        return SimpleNamespace(unroll=remote(unroll))

    def update(*rollouts: Any) -> tuple[Reference, Any]:
        done.updates += 1
        figures = {"updates": done.updates, "steps": 100 * done.updates}
        return world.task("learner", learner_time, figures), object()

    engine._config = make_config(*words)
    engine._should_stop = lambda: False
    engine._actors = {number: actor(number) for number in range(actors)}
    engine._learner = SimpleNamespace(update=remote(update))
    engine._weights = object()
    engine._playing, engine._ready, engine._learning, engine._stale = {}, deque(), None, set()
    engine._failures, engine._restarts, engine._learner_failures = {}, 0, 0
    for expected in range(1, updates + 1):
        figures = engine.update()
        assert figures is not None
        assert figures["updates"] == expected
        world.waiting_most = max(world.waiting_most, len(engine._ready))
    world.unrolls["started"] = done.updates  # type: ignore[index]
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


def test_no_update_is_started_when_the_budget_is_spent() -> None:
    world = simulate(3, 0.5, 10, "total_steps=1000")  # 100 steps an update
    assert world.unrolls["started"] == 10  # type: ignore[index]
