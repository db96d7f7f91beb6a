from __future__ import annotations

import pytest

from rmc_rl.config import make_config
from rmc_rl.engines import shares
from rmc_rl.engines.shares import (
    check_room,
    cluster_actors,
    cluster_device,
    cluster_threads,
    own_device,
    share_cores,
)
from rmc_rl.errors import UserError


def test_the_learner_may_use_every_core_and_actors_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in {1: (1, 1), 2: (1, 2), 4: (2, 4), 16: (6, 16)}.items():
        monkeypatch.setattr(shares, "available_cores", lambda cores=cores: cores)
        assert share_cores(make_config(), "cpu") == expected
    assert share_cores(make_config(), "cuda") == (15, 1)
    assert share_cores(make_config("actor.num_actors=7", "engine.learner_threads=2"), "cpu") == (7, 2)


def test_several_learners_divide_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "available_cores", lambda: 16)
    assert share_cores(make_config("learner.count=3"), "cpu") == (6, 5)
    assert share_cores(make_config("learner.count=32"), "cpu") == (6, 1)
    assert share_cores(make_config("learner.count=4"), "cuda") == (12, 1)


@pytest.mark.parametrize(
    ("words", "device", "nodes", "threads", "actors"),
    [
        ([], "cpu", [2.0], 1, 1),
        ([], "cpu", [16.0], 9, 7),
        ([], "cpu", [0.0, 4.0, 8.0], 4, 8),  # a head that runs nothing
        (["learner.count=2"], "cpu", [0.0, 4.0, 8.0], 2, 8),  # the second is on the node of four
        (["learner.count=2"], "cpu", [16.0], 4, 8),
        (["learner.count=2"], "cuda", [8.0, 16.0], 1, 22),
        (["engine.actor_threads=4"], "cuda", [8.0, 16.0], 1, 5),
        (["engine.learner_threads=3", "actor.num_actors=50"], "cpu", [8.0], 3, 50),  # some wait for a place
    ],
)
def test_processes_fill_the_cluster(
    words: list[str], device: str, nodes: list[float], threads: int, actors: int
) -> None:
    config = make_config(*words)
    assert cluster_threads(config, device, nodes) == threads
    assert cluster_actors(config, threads, nodes) == actors
    check_room(config, threads, nodes)


@pytest.mark.parametrize(("words", "nodes"), [([], []), ([], [1.0]), (["engine.learner_threads=3"], [2.0, 2.0])])
def test_a_cluster_without_room_is_refused(words: list[str], nodes: list[float]) -> None:
    config = make_config(*words)
    with pytest.raises(UserError, match=r"cluster's nodes have .* CPUs: . on one node"):
        check_room(config, cluster_threads(config, "cpu", nodes), nodes)


def test_the_cluster_says_which_device_learns() -> None:
    assert cluster_device(make_config(), 0) == "cpu"
    assert cluster_device(make_config(), 1) == "cuda"
    assert cluster_device(make_config("device=cpu"), 8) == "cpu"
    assert cluster_device(make_config("learner.count=8"), 8) == "cuda"


@pytest.mark.parametrize(("words", "gpus"), [(["device=cuda"], 0), (["learner.count=2"], 1)])
def test_a_learner_without_a_gpu_of_its_own_is_refused(words: list[str], gpus: int) -> None:
    with pytest.raises(UserError, match=rf"needs {gpus + 1} GPUs?, and the cluster has {gpus}: device=cpu"):
        cluster_device(make_config(*words), gpus)


def test_learners_need_a_gpu_each_on_this_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert own_device(make_config("learner.count=2")) == "cuda"
    with pytest.raises(UserError, match=r"learner\.count=3 on device=cuda needs 3 GPUs, and this machine has 2"):
        own_device(make_config("learner.count=3"))
    assert own_device(make_config("learner.count=3", "device=cpu")) == "cpu"
