"""A real cluster of several nodes on this machine; it is not ours, so it outlives each run."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rmc_rl.config import make_config
from rmc_rl.engines.ray import RayEngine
from rmc_rl.engines.ray_processes import stop_ray
from tests.leftovers import nothing_is_left
from tests.spaces import discrete_interface

# isort: split
import ray
from ray.cluster_utils import Cluster

# Rollouts of more than 100 kB: smaller ones travel with Ray's messages and are never lost with a node.
WORDS = ("actor.num_envs=128", "core.head_size=8", "device=cpu")
VIEWPORT = discrete_interface((5, 5, 3), 5)
PATIENCE = 300.0

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray's files, where nobody else's cluster is named."""
    with nothing_is_left():
        folder = tempfile.mkdtemp(prefix="rmc-rl-cluster-")  # the path of a socket is short
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield
        stop_ray(folder)


@pytest.fixture
def cluster(_folder: None) -> Iterator[Cluster]:
    """Without a node; a node that dies is missed after some seconds."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def start_head(cluster: Cluster, cpus: int) -> None:
    cluster.add_node(num_cpus=cpus, include_dashboard=False, _system_config={"health_check_period_ms": 1000})


def join(
    cluster: Cluster, *words: str, saved: Callable[[], dict[str, Any] | None] = lambda: None
) -> tuple[RayEngine, list[str]]:
    said: list[str] = []

    def say(words: str) -> None:
        print(words)
        if "waiting for" not in words:  # a busy machine starts nodes slowly
            said.append(words)

    config = make_config(*WORDS, f"engine.address={cluster.address}", *words)
    return RayEngine(config, VIEWPORT, None, saved, lambda: False, say), said


def node_of(process: Any) -> str:
    return ray.get(process.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()))


def update_until(engine: RayEngine, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        figures = engine.update()
        assert figures is not None
        if reached(figures):
            return figures
    raise AssertionError(f"not reached in {PATIENCE:g} s: {figures}")


def free_cpus(cluster: Cluster) -> float:
    """As soon as whoever has left has gone."""
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    deadline = time.monotonic() + PATIENCE
    while ray.available_resources().get("CPU") != (total := ray.cluster_resources()["CPU"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ray.shutdown()
    return total


def test_a_run_outlives_a_node_uses_new_ones_and_leaves_the_cluster_running(cluster: Cluster) -> None:
    start_head(cluster, 2)
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1))}
    engine, said = join(cluster, "engine.learner_threads=2")  # which have room on the head alone
    try:
        update_until(engine, lambda figures: figures["actors"] == 2 and figures["queue"] == 0)  # both play
        places = {number: node_of(actor) for number, actor in engine._actors.items()}
        assert set(places.values()) == set(nodes), "one actor on each"
        played, _ = ray.wait(list(engine._playing), num_returns=2, timeout=PATIENCE)
        assert len(played) == 2, "a rollout lies on the node that dies"
        cluster.remove_node(nodes[places[0]], allow_graceful=False)
        before = engine._updates
        died = update_until(engine, lambda figures: figures["restarts"] == 1 and figures["dropped_rollouts"] > 0)
        assert died["updates"] > before, "no update is lost"
        assert said == ["actor 0 died and was replaced"]
        assert update_until(engine, lambda figures: figures["updates"] > died["updates"] + 3)["actors"] == 1
        joined = cluster.add_node(num_cpus=1)
        update_until(engine, lambda figures: figures["actors"] == 2)
        assert node_of(engine._actors[0]) == joined.node_id
        assert len(said) == 1
        grown = cluster.add_node(num_cpus=1)
        assert update_until(engine, lambda figures: figures["actors"] == 3)["restarts"] == 1
        assert node_of(engine._actors[2]) == grown.node_id
        assert said[1:] == ["the cluster has grown: 3 actors now"]
    finally:
        engine.close()
    assert free_cpus(cluster) == 5


def test_learners_whose_node_died_go_on_from_the_checkpoint_elsewhere(cluster: Cluster) -> None:
    """Two of them: the one that is left waits for the other, and is ended."""
    start_head(cluster, 0)
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=1))}
    saved: dict[str, Any] = {}
    engine, said = join(cluster, "learner.count=2", saved=lambda: saved.get("state"))
    try:
        learners = engine._learners.processes
        update_until(engine, lambda figures: figures["updates"] == 3)
        saved["state"] = engine.get_state()
        kept = int(saved["state"]["learner"]["updates"])
        update_until(engine, lambda figures: figures["updates"] == kept + 2)
        cluster.remove_node(nodes[node_of(learners[0])], allow_graceful=False)
        cluster.add_node(num_cpus=2)
        # The update that was under way may still be finished before the death is noticed.
        figures = update_until(engine, lambda figures: figures["updates"] == kept + 1)
        assert figures["restarts"] > 0
        update_until(engine, lambda figures: figures["updates"] == kept + 3)
        weights = ray.get([learner.weights.remote() for learner in engine._learners.processes])
    finally:
        engine.close()
    assert any(
        line.startswith(f"a learner died and all go on from the checkpoint after {kept} updates") for line in said
    )
    (first, first_updates), (second, second_updates) = weights
    assert first_updates == second_updates
    assert all((first[name] == second[name]).all() for name in first)


def test_whoever_has_the_token_may_join_by_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    page = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text()
    (command,) = [line for line in page.splitlines() if line.startswith("ray start --head")]
    words = command.replace("--port=6379", f"--port={port}").split()
    own_machine = ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--block"]
    head = subprocess.Popen([str(Path(sys.executable).parent / "ray"), *words[1:], *own_machine])
    small = ["env=repeat-first", "core.head_size=4", "total_steps=2000", "device=cpu", "log.display=none"]
    train = [sys.executable, "-m", "rmc_rl.train", *small, f"runs_dir={tmp_path}", "engine.address=auto"]
    try:
        deadline = time.monotonic() + PATIENCE
        while not (Path(os.environ["RAY_TMPDIR"]) / "ray" / "ray_current_cluster").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        subprocess.run(train, check=True)
        monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        refused = subprocess.run(train, stderr=subprocess.PIPE, text=True, check=False)
        assert head.poll() is None
    finally:
        head.terminate()
        head.wait()
    assert refused.returncode == 1
    assert "cannot be joined" in refused.stderr
    assert "RAY_AUTH_MODE=token" in refused.stderr
