from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rmc_rl.checkpoint import flatten
from rmc_rl.config import Config, make_config
from rmc_rl.engines.inline import InlineEngine
from rmc_rl.environment import Interface
from rmc_rl.errors import UserError

SMALL = ("engine=inline", "actor.num_envs=4", "actor.unroll_length=8", "core.head_size=8", "engine.learner_threads=1")
VIEWPORT = Interface((5, 5, 3), True, 5)


def make(*overrides: str, state: dict[str, Any] | None = None) -> tuple[InlineEngine, list[str]]:
    said: list[str] = []
    config: Config = make_config(*SMALL, *overrides)
    return InlineEngine(config, VIEWPORT, state, said.append), said


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, two = flatten(first), flatten(second)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_two_runs_of_a_seed_are_bit_identical_and_another_seed_is_not() -> None:
    states = []
    for seed in (0, 0, 1):
        engine, _ = make(f"seed={seed}")
        for _ in range(5):
            engine.update()
        states.append(engine.get_state())
        engine.close()
    assert_same(states[0], states[1])
    assert any(not np.array_equal(x, y) for x, y in zip(*(flatten(s).values() for s in states[1:]), strict=True))


def test_going_on_from_a_state_is_bit_identical_to_never_stopping() -> None:
    engine, _ = make()
    for _ in range(4):
        engine.update()
    state = engine.get_state()
    other, said = make(state=state)
    assert said == []
    for _ in range(6):
        first, second = engine.update(), other.update()
        assert first["loss"] == second["loss"]
        np.testing.assert_array_equal(first["episode_return"], second["episode_return"])
    assert_same(engine.get_state(), other.get_state())


def test_another_number_of_games_starts_new_episodes_and_says_so() -> None:
    engine, _ = make()
    engine.update()
    other, said = make("actor.num_envs=3", state=engine.get_state())
    assert said == ["the games could not be restored: their episodes start anew"]
    assert other.update()["updates"] == 2


def test_acting_is_always_with_the_newest_weights() -> None:
    engine, _ = make("learner.rollouts_per_batch=2")
    assert [engine.update()["policy_lag"] for _ in range(3)] == [0.0, 0.0, 0.0]


def test_needs_neither_ray_nor_pygame_nor_wandb() -> None:
    """A rented GPU box often has torch and little else."""
    code = """
import sys
for name in ("ray", "pygame", "wandb"):
    sys.modules[name] = None
import rmc_rl
words = ["engine=inline", "total_steps=64", "actor.num_envs=2", "log.display=none", "runs_dir=" + sys.argv[1]]
result = rmc_rl.train(words)
assert result.steps >= 64
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_games_that_cannot_be_restored_are_new_ones() -> None:
    engine, _ = make()
    first = engine._actor.get_state()["observation"]
    engine.update()
    state = engine.get_state()
    state["actor"]["env"] = {}  # as of an environment without get_state
    other, said = make(state=state)
    assert said == ["the games could not be restored: their episodes start anew"]
    assert not np.array_equal(other._actor.get_state()["observation"], first)


def test_a_state_of_another_device_starts_new_episodes() -> None:
    engine, _ = make()
    engine.update()
    state = engine.get_state()
    state["actor"]["generator"] = np.zeros(16, np.uint8)  # the size of a CUDA generator's
    other, said = make(state=state)
    assert len(said) == 1
    assert other.update()["updates"] == 2


@pytest.mark.parametrize("damage", ["learner", "observation", "optimizer"])
def test_a_damaged_state_is_named(damage: str) -> None:
    engine, _ = make()
    engine.update()
    state = engine.get_state()
    if damage == "learner":
        del state["learner"]["agent"]
    elif damage == "observation":
        state["actor"]["observation"] = np.zeros((4, 3))
    else:
        path = next(iter(state["learner"]["optimizer"]["rmsprop"]))
        state["learner"]["optimizer"]["rmsprop"][path.rpartition("/")[0] + "/square_avg"] = np.zeros((9, 9, 9))
    with pytest.raises(UserError, match="checkpoint"):
        make(state=state)
