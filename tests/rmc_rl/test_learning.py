"""Environments that are not ours, learnt by the defaults of any agent within a budget of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rmc_rl import load
from rmc_rl.config import make_config
from rmc_rl.evaluate import evaluate
from rmc_rl.trainer import train

pytestmark = pytest.mark.slow

COMMON = (
    *("env=gym", "engine=inline", "log.display=none", "log.tensorboard=false", "log.every_steps=1e5"),
    *("actor.num_envs=16", "actor.unroll_length=32", "learner.optimizer=adam", "learner.learning_rate=1e-3"),
    *("learner.warmup_updates=10", "engine.learner_threads=1"),
    "learner.trace_lambda=0.95",  # what a push does shows late
)
CORES = {
    "rmc": ("core=rmc", "core.mem_slots=2", "core.head_size=16", "core.num_heads=2"),
    "lstm": ("core=lstm", "core.hidden_size=64"),
}


def returns_of(tmp_path: Path, *words: str) -> np.ndarray:
    """Returns of 30 fresh episodes after training."""
    run = train(make_config(*COMMON, f"runs_dir='{tmp_path}'", *words)).run
    return evaluate(load(run), 30, greedy=True, trust=True).returns


@pytest.mark.parametrize("core", CORES)
def test_cartpole_is_balanced_by_memory_of_its_positions(core: str, tmp_path: Path) -> None:
    """Solved by CartPole's own measure: a mean return of 475 of at most 500.

    Positions alone do not tell which way the pole falls. Three or four of five seeds get there within so few steps;
    which ones depends on how the processor rounds.
    """
    words = [*CORES[core], "env.id=CartPole-v1", "env.wrappers=[tests.rmc_rl.hidden:PositionsOnly]", "trust=true"]
    words += ["total_steps=250_000", "learner.learning_rate=5e-4", "learner.discount=0.99", "learner.reward_scale=0.05"]
    found = []
    while len(found) < 4 and max(found, default=0.0) < 475:
        found.append(returns_of(tmp_path, *words, f"seed={len(found)}").mean())
    assert max(found) >= 475, found


def test_a_pendulum_is_swung_up(tmp_path: Path) -> None:
    """Random torques have a mean return of about -1200; hanging still costs more than -900 a swung-up one never has."""
    words = ("env.id=Pendulum-v1", "total_steps=400_000", "learner.discount=0.95", "learner.reward_scale=0.1")
    returns = returns_of(
        tmp_path, *CORES["lstm"], *words, "learner.entropy_cost=1e-3", "learner.entropy_cost_final=1e-3"
    )
    assert returns.mean() > -500
