from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest

from rmc_rl.config import Config, EnvConfig, make_config
from rmc_rl.engines.ray import RayEngine
from rmc_rl.engines.ray_workers import Learners
from rmc_rl.errors import UserError
from tests.leftovers import Watch, nothing_is_left
from tests.rmc_rl.engines.raising import Raising
from tests.spaces import discrete_interface

# isort: split
import ray

SMALL = ("actor.num_envs=4", "actor.unroll_length=8", "core.head_size=8")
VIEWPORT = discrete_interface((5, 5, 3), 5)


def make(
    *overrides: str, state: dict[str, Any] | None = None, saved: dict[str, Any] | None = None
) -> tuple[RayEngine, list[str]]:
    said: list[str] = []
    saved = {} if saved is None else saved
    config = make_config(*SMALL, *overrides)
    return RayEngine(config, VIEWPORT, state, lambda: saved.get("state"), lambda: False, said.append), said


@pytest.fixture(autouse=True)
def watch() -> Iterator[Watch]:
    with nothing_is_left() as watch:
        yield watch


@pytest.mark.ray
@pytest.mark.slow
def test_learns_from_several_actors_on_the_loopback_address_alone(watch: Watch) -> None:
    engine, said = make("actor.num_actors=2", "learner.rollouts_per_batch=2")
    try:
        figures = [engine.update() for _ in range(6)]
        listening = [
            connection.laddr.ip
            for process in [psutil.Process(), *watch.processes()]
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        recorder = watch.process("gcs_server").environ()
        state = engine.get_state()
    finally:
        engine.close()
    assert recorder["RAY_task_events_report_interval_ms"] == "0"  # else it grows with every update
    assert [entry["updates"] for entry in figures if entry] == [1, 2, 3, 4, 5, 6]
    assert figures[-1] is not None
    assert 0 <= figures[-1]["policy_lag"] <= 5
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert said == []
    assert int(state["learner"]["updates"]) >= 6


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_actor_is_replaced_and_counted(watch: Watch) -> None:
    engine, said = make("actor.num_actors=1")
    try:
        engine.update()
        watch.process("ray::ActorProc").kill()
        restarts = 0
        deadline = time.monotonic() + 60
        while restarts == 0 and time.monotonic() < deadline:
            figures = engine.update()
            assert figures is not None
            restarts = figures["restarts"]
        after = engine.update()
        assert after is not None
        assert after["updates"] > figures["updates"]
    finally:
        engine.close()
    assert restarts == 1
    assert said == ["actor 0 died and was replaced"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_learner_goes_on_from_the_last_checkpoint(watch: Watch) -> None:
    saved: dict[str, Any] = {}
    engine, said = make("actor.num_actors=2", saved=saved)
    try:
        for _ in range(3):
            engine.update()
        saved["state"] = engine.get_state()
        kept = int(saved["state"]["learner"]["updates"])
        for _ in range(4):
            figures = engine.update()
        assert figures is not None
        watch.process("ray::Learner").kill()
        updates = figures["updates"]
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            figures = engine.update()
            assert figures is not None
            updates = max(updates, figures["updates"])
        assert figures["updates"] == kept + 1
        assert figures["restarts"] == 1
        assert figures["policy_lag"] >= 0
        after = engine.update()
        assert after is not None
        assert after["updates"] == kept + 2
        assert after["policy_lag"] >= 0
    finally:
        engine.close()
    (line,) = said
    assert re.fullmatch(
        rf"the learner died and goes on from the checkpoint after {kept} updates: "
        rf"{updates - kept} updates lost, \d rollouts dropped",
        line,
    )


@pytest.mark.ray
@pytest.mark.slow
def test_several_learners_hold_the_same_weights_and_go_on_together(watch: Watch) -> None:
    saved: dict[str, Any] = {}
    words = ("learner.count=2", "learner.rollouts_per_batch=2", "actor.num_actors=1", "device=cpu")
    engine, said = make(*words, saved=saved)
    try:
        figures = [engine.update() for _ in range(3)]
        saved["state"] = engine.get_state()
        kept = int(saved["state"]["learner"]["updates"])
        listening = {
            connection.laddr.ip.removeprefix("::ffff:")
            for process in watch.processes()
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        victim, other = [process for process in watch.processes() if process.name().startswith("ray::Learner")]
        victim.kill()
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            figures.append(engine.update())
        figures += [engine.update() for _ in range(2)]
        survived = other.is_running()
        weights = ray.get([learner.weights.remote() for learner in engine._learners.processes])
    finally:
        engine.close()
    assert all(entry and entry["batch_steps"] > 2 * 4 * 8 for entry in figures), "four rollouts of 4 x 8 steps"
    assert listening == {"127.0.0.1"}
    assert len(said) == 1
    assert said[0].startswith(f"a learner died and all go on from the checkpoint after {kept} updates: ")
    assert [entry["updates"] for entry in figures if entry][-3:] == [kept + 1, kept + 2, kept + 3]
    assert not survived
    (first, updates), (second, same_updates) = weights
    assert updates == same_updates
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


class Stumbling(Raising):
    """Raises once on the way, before it raises for good."""

    def __init__(self, after: int, stumble: int) -> None:
        super().__init__(after)
        self.stumble = after - stumble

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        row = super().step(action)
        if self.left == self.stumble:
            raise RuntimeError("a marble rolled away")
        return row


gymnasium.register("Stumbling-v0", f"{__name__}:Stumbling")


@pytest.mark.ray
@pytest.mark.slow
def test_an_environment_that_raises_is_masked_and_one_that_keeps_raising_is_named() -> None:
    config = make_config(*SMALL, "actor.num_envs=1", "actor.num_actors=1", "trust=true")
    config.env = EnvConfig("stumbling", f"{__name__}:Stumbling-v0", {"after": 200, "stumble": 20})
    engine = RayEngine(config, VIEWPORT, None, lambda: None, lambda: False, print)
    try:
        figures = [engine.update() for _ in range(7)]
        assert [entry["env_failures"] for entry in figures if entry] == [0, 0, 1, 0, 0, 0, 0]
        assert [entry["updates"] for entry in figures if entry] == [1, 2, 3, 4, 5, 6, 7]
        with pytest.raises(UserError, match=r"Stumbling-v0 keeps raising in step, 4 times.*out of marbles"):
            [engine.update() for _ in range(40)]
    finally:
        engine.close()


class Hanging(Raising):
    """Makes no move any more, after so many steps."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.left == 1:
            time.sleep(1e6)
        return super().step(action)


gymnasium.register("Hanging-v0", f"{__name__}:Hanging")


@pytest.mark.ray
@pytest.mark.slow
def test_an_actor_that_hangs_is_replaced_and_counted() -> None:
    said: list[str] = []
    config = make_config(*SMALL, "actor.num_envs=1", "actor.num_actors=2", "trust=true", "engine.timeout=20")
    config.env = EnvConfig("hanging", f"{__name__}:Hanging-v0", {"after": 200})
    engine = RayEngine(config, VIEWPORT, None, lambda: None, lambda: False, said.append)
    try:
        figures: dict[str, Any] | None = {"restarts": 0}
        while figures is not None and figures["restarts"] == 0:
            figures = engine.update()
        after = engine.update()
    finally:
        engine.close()
    assert figures is not None
    assert after is not None
    assert after["updates"] == figures["updates"] + 1
    assert re.fullmatch(r"actor [01] made no progress for engine.timeout = 20 s", said[0])
    assert any(re.fullmatch(r"actor [01] died and was replaced", line) for line in said)


def test_a_start_that_is_interrupted_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray does not know yet what it has started; nor does another Ctrl-C cut its end short."""
    started: list[subprocess.Popen[bytes]] = []
    ended = []

    def shutdown() -> None:
        signal.raise_signal(signal.SIGINT)
        ended.append(True)

    def interrupted(config: Config, num_actors: int, threads: int, temporary: str) -> None:
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
        started.append(subprocess.Popen([sys.executable, "-c", script, f"--log_dir={temporary}/logs"]))
        while not psutil.Process(started[0].pid).children():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr("rmc_rl.engines.ray.start_ray", interrupted)
    monkeypatch.setattr("ray.shutdown", shutdown)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert ended
    assert signal.getsignal(signal.SIGINT) is before


def test_ray_that_runs_in_this_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.shutdown", lambda: ended.append(True))
    for address in ("null", "auto"):
        with pytest.raises(UserError, match=r"running in this process already: call ray\.shutdown"):
            make(f"engine.address={address}")
    assert not ended


def test_a_start_that_is_stopped_does_not_wait_for_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmc_rl.engines.ray.start_ray", lambda *_: None)
    monkeypatch.setattr(Learners, "start", lambda *_: [object()])  # which is never finished
    monkeypatch.setattr(Learners, "weights", lambda _: None)
    monkeypatch.setattr(RayEngine, "_start_actor", lambda *_: None)
    polls, waits = iter([False, False, True]), list[float]()
    monkeypatch.setattr("ray.wait", lambda references, timeout: waits.append(timeout) or ([], references))
    engine = RayEngine(make_config(*SMALL), VIEWPORT, None, lambda: None, lambda: next(polls, True), print)
    assert len(waits) == 2
    assert engine.update() is None
    assert engine.get_state() is None
    engine.close()
