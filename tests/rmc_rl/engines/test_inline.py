from __future__ import annotations

import functools
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorEnv

from rmc_agents import heads
from rmc_rl.checkpoint import flatten
from rmc_rl.config import Config, make_config
from rmc_rl.engines import inline, make_engine
from rmc_rl.engines.inline import GAMES_PER_THREAD, InlineEngine, threads_for
from rmc_rl.errors import UserError
from rmc_rl.impala.actor import Actor
from tests.recorder import again
from tests.spaces import discrete_interface

SMALL = ("engine=inline", "actor.num_envs=4", "actor.unroll_length=8", "core.head_size=8", "engine.learner_threads=1")
VIEWPORT = discrete_interface((5, 5, 3), 5)


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


@pytest.mark.parametrize("word", ["learner.count=2", "engine.address=auto"])
def test_several_processes_are_refused(word: str) -> None:
    with pytest.raises(UserError, match=rf"{word} needs engine=ray: engine=inline is one process"):
        make(word)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", "head:6379/x"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=rf"engine\.address={address} is not known: auto or host:port"):
        make_config(f"engine.address='{address}'")


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


def test_games_that_cannot_be_closed_end_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(self: VectorEnv, **kwargs: object) -> None:
        closed.append(self)
        raise RuntimeError("the door is stuck")

    closed: list[VectorEnv] = []
    engine, _ = make("actor.groups=2")
    with monkeypatch.context() as patched:
        patched.setattr(VectorEnv, "close", close)
        engine.close()
    assert len(closed) == 2


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


@pytest.mark.parametrize("groups", [1, 2])
def test_rollouts_that_stay_on_the_device_change_no_bit(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    """As on a GPU, but for the GPU: rows of their own for games and device, acting recorded, tensors learnt from."""
    words = (f"actor.groups={groups}", "learner.rollouts_per_batch=2")
    arrays, _ = make(*words)
    with monkeypatch.context() as patch:
        patch.setattr(inline, "Actor", functools.partial(Actor, record=again))
        tensors, _ = make(*words)
    for _ in range(4):
        expected, found = arrays.update(), tensors.update()
        assert {name: found[name] for name in ("loss", "grad_norm", "steps", "policy_lag")} == {
            name: expected[name] for name in ("loss", "grad_norm", "steps", "policy_lag")
        }
    assert_same(arrays.get_state(), tensors.get_state())


def test_groups_are_bit_exact_and_go_on_as_if_never_stopped() -> None:
    engine, _ = make("actor.groups=3")  # of 1, 1 and 2 games
    for _ in range(3):
        engine.update()
    state = engine.get_state()
    for words in (["actor.groups=3"], ["actor.groups=2"]):
        other, said = make(*words, state=state)
        assert said == []
        other.update()
        if words == ["actor.groups=3"]:
            engine.update()
            assert_same(engine.get_state(), other.get_state())
        other.close()
    engine.close()


def test_a_memory_task_is_learnt_in_groups() -> None:
    """Beyond what needs no memory: 0.34 a game."""
    config = make_config(
        *("engine=inline", "device=cpu", "env=repeat-first", "engine.learner_threads=1", "actor.groups=2"),
        *("core=lstm", "core.hidden_size=32", "learner.learning_rate=4e-3", "learner.warmup_updates=10"),
    )
    engine = make_engine(config, discrete_interface((4,), 4), None)
    returns: list[float] = []
    for _ in range(100):
        figures = engine.update()
        assert figures is not None
        returns += figures["episode_return"].tolist()
    engine.close()
    assert np.mean(returns[-500:]) > 0.9


def test_hundreds_of_games_in_groups_train() -> None:
    words = ("engine=inline", "device=cpu", "actor.groups=2", "actor.num_envs=512", "engine.learner_threads=1")
    engine = make_engine(make_config(*words), VIEWPORT, None)
    before = engine._learner.weights()  # type: ignore[attr-defined]
    for updates in (1, 2):
        figures = engine.update()
        assert figures is not None
        assert (figures["updates"], figures["policy_lag"]) == (updates, 0.0)
        assert np.isfinite(figures["loss"])
    assert 2 * 512 * 19 < figures["steps"] <= 2 * 512 * 20
    after = engine._learner.weights()  # type: ignore[attr-defined]
    assert all(not np.array_equal(before[name], after[name]) for name in before)
    engine.close()


@pytest.mark.parametrize(
    ("games", "cores", "threads"),
    [(1, 16, 1), (2 * GAMES_PER_THREAD - 1, 16, 1), (8 * GAMES_PER_THREAD, 16, 8), (10**6, 16, 16), (10**6, 1, 1)],
)
def test_threads_have_enough_to_do(games: int, cores: int, threads: int) -> None:
    assert threads_for(games, cores) == threads


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("core", ["rmc", "lstm"])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_gpu_is_bit_exact_from_a_seed_and_resumed(core: str, groups: int) -> None:
    words = ("device=cuda", f"core={core}", f"actor.groups={groups}", "actor.num_envs=64")
    made = [InlineEngine(make_config("engine=inline", *words), VIEWPORT, None, print) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*recorded as")  # acting and unrolls can be
        for _ in range(4):
            figures = [engine.update() for engine in made]
            assert figures[0]["loss"] == figures[1]["loss"]
        state = made[0].get_state()
        assert_same(state, made[1].get_state())
        said: list[str] = []
        resumed = InlineEngine(make_config("engine=inline", *words), VIEWPORT, state, said.append)
        assert said == []
        for _ in range(3):
            assert resumed.update()["loss"] == made[0].update()["loss"]
    assert_same(resumed.get_state(), made[0].get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("groups", [1, 2])
def test_on_a_gpu_the_learner_computes_the_log_probability_that_acting_had(groups: int) -> None:
    words = ("engine=inline", "device=cuda", f"actor.groups={groups}", "actor.num_envs=64")
    engine = InlineEngine(make_config(*words), VIEWPORT, None, print)
    for _ in range(3):
        rollout: Any = engine._actor.unroll()
        with torch.no_grad():
            output, _ = engine._actor.agent(
                rollout.observation, rollout.last_action, rollout.last_reward, rollout.reset, rollout.core_state
            )
        recomputed = heads.log_prob(output.policy[:-1], rollout.action)
        # Convolutions may round to TF32, and another batch takes another algorithm.
        torch.testing.assert_close(recomputed, rollout.behaviour_log_prob, rtol=0, atol=2e-3)
        follows = ~rollout.reset[1:]
        assert torch.equal(rollout.last_action[1:][follows], rollout.action[follows])
        assert torch.equal(rollout.last_reward[1:][follows], rollout.reward[follows])
        engine.update()
