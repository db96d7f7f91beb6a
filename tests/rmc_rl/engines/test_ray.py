from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rmc_rl.config import EnvConfig, make_config
from rmc_rl.engines.ray import RayEngine, make_temporary_folder, share_cores
from rmc_rl.environment import Interface
from rmc_rl.errors import UserError

SMALL = ("actor.num_envs=4", "actor.unroll_length=8", "core.head_size=8")
VIEWPORT = Interface((5, 5, 3), True, 5)


def make(
    *overrides: str, state: dict[str, Any] | None = None, saved: dict[str, Any] | None = None
) -> tuple[RayEngine, list[str]]:
    said: list[str] = []
    saved = {} if saved is None else saved
    config = make_config(*SMALL, *overrides)
    return RayEngine(config, VIEWPORT, state, lambda: saved.get("state"), lambda: False, said.append), said


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No process, listening socket or temporary folder outlives an engine."""
    import tempfile

    temporary = Path(tempfile.gettempdir())
    before = {path.name for path in temporary.glob(f"rmc-rl-{os.getpid()}-*")}
    yield
    deadline = time.monotonic() + 10
    while (children := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [child.name() for child in children] == []
    assert {path.name for path in temporary.glob(f"rmc-rl-{os.getpid()}-*")} == before


@pytest.mark.ray
@pytest.mark.slow
def test_learns_from_several_actors_on_the_loopback_address_alone() -> None:
    engine, said = make("actor.num_actors=2", "learner.rollouts_per_batch=2")
    try:
        figures = [engine.update() for _ in range(6)]
        listening = [
            connection.laddr.ip
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        state = engine.get_state()
    finally:
        engine.close()
    assert [entry["updates"] for entry in figures if entry] == [1, 2, 3, 4, 5, 6]
    assert figures[-1] is not None
    assert 0 <= figures[-1]["policy_lag"] <= 3
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert said == []
    assert int(state["learner"]["updates"]) >= 6


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_actor_is_replaced_and_counted() -> None:
    engine, said = make("actor.num_actors=1")
    try:
        engine.update()
        victims = [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::ActorProc")]
        assert len(victims) == 1
        os.kill(victims[0].pid, signal.SIGKILL)
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
def test_a_killed_learner_goes_on_from_the_last_checkpoint() -> None:
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
        (victim,) = [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::Learner")]
        os.kill(victim.pid, signal.SIGKILL)
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
def test_an_environment_that_raises_in_an_actor_is_named() -> None:
    config = make_config(*SMALL, "trust=true")
    config.env = EnvConfig("raising", "tests.rmc_rl.engines.raising:Raising-v0", {"after": 50})
    engine = RayEngine(config, VIEWPORT, None, lambda: None, lambda: False, print)
    try:
        with pytest.raises(UserError, match=r"Raising-v0.*out of marbles"):
            [engine.update() for _ in range(10)]
    finally:
        engine.close()


def test_folders_of_processes_that_were_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = max(psutil.pids()) + 100_000
    for name in (f"rmc-rl-{gone}-abc", f"rmc-rl-{os.getppid()}-abc", "rmc-rl-notes-abc"):
        (tmp_path / name).mkdir()
    made = Path(make_temporary_folder())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [made.name, f"rmc-rl-{os.getppid()}-abc", "rmc-rl-notes-abc"]
    )
    assert made.name.startswith(f"rmc-rl-{os.getpid()}-")


def test_cores_are_shared_without_oversubscription(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in {1: (1, 1), 2: (1, 1), 4: (1, 3), 16: (5, 11)}.items():
        monkeypatch.setattr("rmc_rl.engines.ray.available_cores", lambda cores=cores: cores)
        assert share_cores(make_config(), "cpu") == expected
    assert share_cores(make_config(), "cuda") == (15, 1)
    assert share_cores(make_config("actor.num_actors=7", "engine.learner_threads=2"), "cpu") == (7, 2)
