"""A tiny trained run, a policy of it, and steps made by hand. No display: pygame draws in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmc_rl.policy import Policy, load
from rmc_rl.trainer import train
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import MemoryPart, Step


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=2000"]
    return train([*words, "env.kwargs.max_steps=40", "log.display=none", f"runs_dir={folder}"]).run


@pytest.fixture
def policy(run: Path) -> Policy:
    return load(run)


@pytest.fixture
def session(policy: Policy) -> Iterator[Session]:
    session = Session(policy, seed=100)
    yield session
    session.close()


@pytest.fixture
def make_step() -> Callable[..., Step]:
    random = np.random.default_rng(0)
    fixed: dict[str, Any] = {
        "episode": 0,
        "seed": 7,
        "number": 0,
        "board": random.integers(0, 256, (40, 50, 3), np.uint8),
        "observation": random.integers(0, 256, (5, 5, 3), np.uint8),
        "probabilities": np.array([0.1, 0.2, 0.7]),
        "entropy": 0.8,
        "value": 1.5,
        "memory": (MemoryPart("memory", random.normal(size=(4, 32)).astype(np.float32)),),
        "action": 2,
        "reward": 0.0,
        "episode_return": 0.0,
        "ending": None,
        "attention": random.dirichlet(np.ones(5), (2, 3, 4)).astype(np.float32),
        "gates": (
            MemoryPart("input gate", random.random((4, 1), np.float32)),
            MemoryPart("forget gate", random.random((4, 1), np.float32)),
        ),
    }
    return lambda **changed: Step(**(fixed | changed))
