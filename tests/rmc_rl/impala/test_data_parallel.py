from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor

from rmc_rl.config import LearnerConfig, make_config
from rmc_rl.errors import NonFiniteLossError
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.data_parallel import LearnerGroup, LearnerLostError, join_figures
from rmc_rl.impala.learner import Learner, alone
from rmc_rl.impala.rollout import Rollout
from tests.rmc_rl.impala.scripted import ScriptedEnv, small_agent

LOSSES = ("loss", "policy_loss", "value_loss", "entropy", "value", "rho", "explained_variance", "grad_norm")
ROLLOUTS = 4


@pytest.fixture(scope="module")
def config() -> LearnerConfig:
    words = ("learner.learning_rate=1e-2", "learner.warmup_updates=0", "learner.max_grad_norm=null")
    return make_config(*words, "learner.epsilon=1.0").learner  # with less, RMSProp makes steps of mere rounding


@pytest.fixture(scope="module")
def rollouts() -> list[Rollout]:
    return make_rollouts()


def make_rollouts() -> list[Rollout]:
    """Half of them of games that end all the time, half of games that hardly do; some from older weights."""
    torch.manual_seed(0)
    actors = [Actor(ScriptedEnv(lengths), small_agent(), 7, seed=5) for lengths in ([1, 2, 1], [50, 9, 40])]
    made = [actor.unroll() for actor in actors for _ in range(ROLLOUTS // 2)]
    return [replace(rollout, weights_version=-number) for number, rollout in enumerate(made)]


def make_learner(config: LearnerConfig, all_reduce: Callable[[list[Tensor]], list[Tensor]] = alone) -> Learner:
    torch.manual_seed(0)
    return Learner(small_agent(normalise_value=True), config, 1000, "cpu", all_reduce=all_reduce)


class Together:
    """Learners in threads of this process."""

    def __init__(self, config: LearnerConfig, count: int) -> None:
        self._barrier = threading.Barrier(count)
        self._brought: list[list[Tensor]] = [[] for _ in range(count)]
        self.learners = [make_learner(config, lambda own, rank=rank: self._sum(rank, own)) for rank in range(count)]

    def _sum(self, rank: int, tensors: list[Tensor]) -> list[Tensor]:
        self._brought[rank] = tensors
        self._barrier.wait()
        sums = [torch.stack(each).sum(0) for each in zip(*self._brought, strict=True)]
        self._barrier.wait()
        return sums

    def update(self, *shares: list[Rollout]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(shares)) as threads:
            return list(threads.map(lambda learner, share: learner.update(share), self.learners, shares))


def gradients(learner: Learner) -> Tensor:
    return torch.cat([p.grad.flatten() for p in learner.agent.parameters() if p.grad is not None])


def flat_weights(learner: Learner) -> np.ndarray:
    return np.concatenate([value.ravel() for value in learner.weights().values()])


def test_the_halves_of_a_batch_differ_in_what_counts(rollouts: list[Rollout]) -> None:
    often, seldom = (sum(int(rollout.valid.sum()) for rollout in half) for half in (rollouts[:2], rollouts[2:]))
    assert often < 0.7 * seldom


@pytest.mark.parametrize("burn_in", [0, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shares", [2, 4])
def test_learners_of_parts_agree_with_one_of_the_whole(
    config: LearnerConfig, rollouts: list[Rollout], shares: int, reduction: str, burn_in: int
) -> None:
    config = replace(config, loss_reduction=reduction, games_at_once=2, burn_in=burn_in)
    one, several = make_learner(config), Together(config, shares)
    size = ROLLOUTS // shares
    for _ in range(2):
        expected = one.update(rollouts)
        figures = several.update(*(rollouts[start : start + size] for start in range(0, ROLLOUTS, size)))
        whole = gradients(one)
        for learner in several.learners:
            torch.testing.assert_close(gradients(learner), whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
            np.testing.assert_allclose(flat_weights(learner), flat_weights(one), rtol=1e-4, atol=1e-5)
            assert np.array_equal(flat_weights(learner), flat_weights(several.learners[0]))
        joined = join_figures(figures)
        assert joined.keys() == expected.keys()
        for name in LOSSES:
            assert joined[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
        for name in joined.keys() - {*LOSSES, "update_seconds"}:
            np.testing.assert_array_equal(joined[name], expected[name], err_msg=name)


def test_the_norm_that_is_clipped_is_that_of_the_whole(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    several = Together(replace(config, max_grad_norm=1e-3), 2)
    several.update(rollouts[:2], rollouts[2:])
    for learner in several.learners:
        assert float(gradients(learner).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_what_is_not_finite_in_one_share_leaves_all_weights_alone(
    config: LearnerConfig, rollouts: list[Rollout]
) -> None:
    several = Together(config, 2)
    before = [flat_weights(learner) for learner in several.learners]
    broken = replace(rollouts[0], reward=np.full_like(rollouts[0].reward, np.nan))
    raised = []

    def update(learner: Learner, share: list[Rollout]) -> None:
        with pytest.raises(NonFiniteLossError, match="update 1"):
            learner.update(share)
        raised.append(learner)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(update, several.learners, ([broken], rollouts[:1])))
    assert len(raised) == 2
    for learner, weights in zip(several.learners, before, strict=True):
        np.testing.assert_array_equal(flat_weights(learner), weights)


def test_one_learners_figures_stay_what_they_are() -> None:
    figures = {"loss": 1.0}
    assert join_figures([figures]) is figures


class Processes:
    """Learners in processes of their own, joined by gloo; each serves one request after another."""

    def __init__(self, config: LearnerConfig, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, config), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        self.ask([pipe.recv() for pipe in self.pipes])

    def ask(self, *requests: Any) -> list[Any]:
        """The same of each, or of each its own; an exception that one raises is what it answers."""
        for pipe, request in zip(self.pipes, requests * (len(self.pipes) // len(requests)), strict=True):
            pipe.send(request)
        return [pipe.recv() for pipe in self.pipes]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def serve(pipe: Connection, config: LearnerConfig) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    pipe.send(listening.getsockname())
    group = LearnerGroup(listening, pipe.recv(), "cpu", timeout=60)
    pipe.send(None)
    learner, rollouts = make_learner(config, group.all_reduce), make_rollouts()
    while True:
        request = pipe.recv()
        try:
            if request == "weights":
                pipe.send(flat_weights(learner))
            elif request == "listening":
                found = psutil.Process().net_connections(kind="inet")
                pipe.send({each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN})
            elif request == "end":
                pipe.send(None)
                os._exit(0)
            else:
                pipe.send(learner.update([rollouts[number] for number in request]))
        except Exception as error:
            pipe.send(error)


@pytest.mark.slow
def test_processes_learn_as_one(config: LearnerConfig, rollouts: list[Rollout]) -> None:
    config = replace(config, optimizer="adam", max_grad_norm=1.0)
    one, several = make_learner(config), Processes(config, 3)
    try:
        for batch in ([0, 1, 2], [3, 0, 2], [1, 3, 0]):
            expected = one.update([rollouts[number] for number in batch])
            joined = join_figures(several.ask(*([number] for number in batch)))
            for name in LOSSES:
                assert joined[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
        first, *others = several.ask("weights")
        listening = several.ask("listening")
    finally:
        several.close()
    for other in others:
        np.testing.assert_array_equal(first, other)
    np.testing.assert_allclose(first, flat_weights(one), rtol=1e-4, atol=1e-5)
    assert set().union(*listening) == {"127.0.0.1"}


@pytest.mark.slow
def test_a_learner_that_has_gone_is_missed(config: LearnerConfig) -> None:
    several = Processes(config, 2)
    try:
        several.ask([0], [1])
        several.pipes.pop().send("end")
        several.processes[1].join()
        (answer,) = several.ask([0])
    finally:
        several.close()
    assert isinstance(answer, LearnerLostError)
    assert "a learner was lost" in str(answer)
