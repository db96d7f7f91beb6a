"""The bridge to RLlib: what its learner computes is what its runners did, and weights go both ways as they are."""

from __future__ import annotations

import copy
import json
import math
import re
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rmc_agents.tree import leaves, map_tree
from rmc_rl.building import build_agent
from rmc_rl.checkpoint import latest_checkpoint, load_checkpoint
from rmc_rl.config import TRAIN, Config, EnvConfig, make_config
from rmc_rl.display import NoDisplay
from rmc_rl.environment import make_vector
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.evaluate import evaluate
from rmc_rl.overrides import groups
from rmc_rl.policy import load
from rmc_rl.rllib import __main__ as verb
from rmc_rl.rllib import training
from rmc_rl.rllib.algorithm import ALGORITHMS, PPO_EPOCHS, PPO_MINIBATCHES, _seed, algorithm_config, meaningful
from rmc_rl.rllib.games import FIRST, LAST_ACTION, LAST_REWARD, OBSERVATION, Games
from rmc_rl.rllib.module import AgentModule
from rmc_rl.rllib.training import save_agent, train
from rmc_rl.run_folder import create_run_folder, find_run
from rmc_rl.seeds import actor_seed
from rmc_rl.spaces import Interface, interface
from rmc_rl.weights import get_weights
from tests.leftovers import nothing_is_left
from tests.spaces import discrete_interface

# isort: split
from ray.rllib.algorithms.impala.torch import impala_torch_learner
from ray.rllib.core.columns import Columns

SMALL = ("env=repeat-first", "core.head_size=4", "core.mem_slots=2", "core.num_heads=2", "log.display=plain")
LENGTH = 5
"""Of a rollout: shorter than an episode, so that sequences begin in the middle of one as well."""
SYMBOLS = discrete_interface((4,), 4)


def make_module(config: Config, found: Interface, weights: dict[str, np.ndarray] | None = None) -> AgentModule:
    given = {"config": config, "interface": found, "weights": weights, "max_seq_len": LENGTH + 1}
    return AgentModule(observation_space=found.observation_space, action_space=found.action_space, model_config=given)


def rows(count: int, length: int, *, first: bool) -> dict[str, torch.Tensor]:
    """Observations [B, T, …] of one sequence each, from the start of an episode or from within one."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.zeros(count, length, dtype=torch.uint8)
    starts[:, 0] = first
    return {
        OBSERVATION: torch.rand(count, length, 4, generator=generator),
        LAST_ACTION: torch.randint(4, (count, length), generator=generator),
        LAST_REWARD: torch.randn(count, length, generator=generator),
        FIRST: starts,
    }


# The games


def test_rows_say_what_led_to_them_and_stay_as_they_were() -> None:
    config = make_config("trust=true")
    config.env = EnvConfig("counting", "tests.rmc_rl.counting:Counting-v0", {})
    games, plain = Games({"config": config, "num_envs": 3}), make_vector(config.env, 3, trust=True)
    row, _ = games.reset(seed=0)
    expected, _ = plain.reset(seed=0)
    reward, first, ended, action = np.zeros(3), np.ones(3, bool), np.zeros(3, bool), np.zeros(3, np.int64)
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(12):
        kept.append((row, copy.deepcopy(row)))
        np.testing.assert_array_equal(row[OBSERVATION], expected)
        np.testing.assert_array_equal(row[LAST_ACTION], action)
        np.testing.assert_array_equal(row[LAST_REWARD], reward)
        np.testing.assert_array_equal(row[FIRST], first)
        action, first = rng.integers(5, size=3), ended
        row, reward, terminated, truncated, _ = games.step(list(action))  # a list, as RLlib has it
        expected, *_ = plain.step(action)
        ended = terminated | truncated
    assert sum(int(row[FIRST].sum()) for row, _ in kept) > 6
    for row, was in kept:
        map_tree(np.testing.assert_array_equal, row, was)


def test_continuous_actions_reach_the_games_within_their_bounds() -> None:
    games = Games({"config": make_config("env=gym", "env.id=Pendulum-v1"), "num_envs": 2})
    assert games.single_action_space == spaces.Box(-np.inf, np.inf, (1,), np.float32)
    games.reset(seed=0)
    row, *_ = games.step([np.array([50.0], np.float32), np.array([-50.0], np.float32)])
    assert row[LAST_ACTION].tolist() == [[50.0], [-50.0]]
    plain = gymnasium.make_vec("Pendulum-v1", 2)
    plain.reset(seed=0)
    expected, *_ = plain.step(np.array([[2.0], [-2.0]], np.float32))
    np.testing.assert_allclose(row[OBSERVATION], expected, rtol=1e-6)


def test_each_runner_has_random_streams_of_its_own() -> None:
    config = make_config(*SMALL)
    drawn, seen = set(), []
    for runner in (1, 2):
        games = Games({"config": config, "num_envs": 8})
        with torch.random.fork_rng():
            _seed(3, env_runner=SimpleNamespace(env=games), env_context=SimpleNamespace(worker_index=runner))
            drawn.add(float(torch.rand(())))
        plain = make_vector(config.env, 8)
        plain.reset(seed=actor_seed(3, runner, 0))
        for each in (games, plain):
            each.reset()
        for _ in range(20):
            row, *_ = games.step(np.zeros(8, int))
            expected, *_ = plain.step(np.zeros(8, int))
            np.testing.assert_array_equal(row[OBSERVATION], expected)
        seen.append(row[OBSERVATION])
    assert len(drawn) == 2
    assert (seen[0] != seen[1]).any()


# The module


@pytest.mark.parametrize("core", ["rmc", "lstm", "dnc"])
def test_an_episode_starts_from_the_initial_state_of_the_core(core: str) -> None:
    module = make_module(make_config("env=repeat-first", f"core={core}"), SYMBOLS)
    expected = leaves(module.agent.core.initial_state(1))
    state = module.get_initial_state()
    assert len(state) == len(expected)
    for number, leaf in enumerate(expected):
        torch.testing.assert_close(torch.from_numpy(state[str(number)]), leaf[0], rtol=0, atol=0)
    if core == "rmc":
        assert np.array_equal(state["0"], np.eye(*state["0"].shape))


@pytest.mark.parametrize("core", ["rmc", "lstm", "dnc"])
@pytest.mark.parametrize("first", [True, False])
def test_a_sequence_is_its_steps(core: str, first: bool) -> None:
    module = make_module(make_config("env=repeat-first", f"core={core}"), SYMBOLS)
    seen = rows(3, 7, first=first)
    start = {
        name: torch.from_numpy(leaf)[None].repeat(3, *[1] * leaf.ndim) + (0 if first else 0.1)
        for name, leaf in module.get_initial_state().items()
    }
    whole = module.forward_train({Columns.OBS: seen, Columns.STATE_IN: start})
    state, policies, values = start, [], []
    for t in range(7):
        batch = {Columns.OBS: {name: part[:, t : t + 1] for name, part in seen.items()}, Columns.STATE_IN: state}
        out = module.forward_exploration(batch)
        state = out[Columns.STATE_OUT]
        policies.append(out[Columns.ACTION_DIST_INPUTS])
        values.append(module.compute_values(batch))
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(whole[Columns.ACTION_DIST_INPUTS], torch.cat(policies, 1), **close)
    found = module.compute_values({}, embeddings=whole[Columns.EMBEDDINGS])
    torch.testing.assert_close(found, torch.cat(values, 1), **close)
    map_tree(lambda a, b: torch.testing.assert_close(a, b, **close), whole[Columns.STATE_OUT], state)


def test_where_an_episode_begins_nothing_of_the_last_one_matters() -> None:
    module = make_module(make_config("env=repeat-first"), SYMBOLS)
    seen = rows(2, 3, first=True)
    state = {name: torch.from_numpy(leaf)[None].repeat(2, 1, 1) for name, leaf in module.get_initial_state().items()}
    outputs = []
    for change in (0.0, 1.0):
        seen[LAST_REWARD][:, 0] += change
        seen[LAST_ACTION][:, 0] = int(change)
        outputs.append(module.forward_train({Columns.OBS: seen, Columns.STATE_IN: state})[Columns.ACTION_DIST_INPUTS])
    assert torch.equal(*outputs)


ACTIONS = [
    spaces.Discrete(4, start=2),
    spaces.MultiDiscrete([3, 2, 4]),
    spaces.MultiBinary(3),
    spaces.Box(np.array([-2.0, -np.inf], np.float32), np.array([1.0, np.inf], np.float32)),
]


@pytest.mark.parametrize("space", ACTIONS, ids=["discrete", "multi-discrete", "multi-binary", "continuous"])
def test_the_distribution_of_rllib_is_ours(space: spaces.Space[Any]) -> None:
    module = make_module(make_config("env=repeat-first"), Interface(SYMBOLS.observation_space, space))
    actions = module.agent.actions
    with torch.no_grad():
        module.agent.policy.linear.weight.normal_()  # else all actions are alike
    seen = rows(2, 5, first=True)
    seen[LAST_ACTION] = actions.sample(torch.zeros(2, 5, actions.num_parameters))
    state = {name: torch.from_numpy(leaf)[None].repeat(2, 1, 1) for name, leaf in module.get_initial_state().items()}
    out = module.forward_train({Columns.OBS: seen, Columns.STATE_IN: state})
    parts = {name: part.transpose(0, 1) for name, part in seen.items()}
    output, _ = module.agent(
        parts[OBSERVATION], parts[LAST_ACTION], parts[LAST_REWARD], parts[FIRST].bool(), module.agent.initial_state(2)
    )
    policy = output.policy.transpose(0, 1)
    taken = actions.sample(policy)
    distribution = module.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    torch.testing.assert_close(distribution.logp(taken), actions.log_prob(policy, taken), rtol=1e-4, atol=1e-4)
    assert distribution.sample().shape == taken.shape
    if not isinstance(space, spaces.Box):  # there RLlib takes the entropy before the bounds
        torch.testing.assert_close(distribution.entropy(), actions.entropy(policy), rtol=1e-4, atol=1e-4)


# Setting RLlib up


def test_keys_mean_to_rllib_what_they_mean_to_us() -> None:
    words = ["actor.num_envs=6", "actor.num_actors=3", "actor.unroll_length=7", "learner.rollouts_per_batch=2"]
    words += ["learner.learning_rate=1e-3", "learner.learning_rate_final=1e-4", "learner.discount=0.9"]
    words += ["learner.baseline_cost=0.3", "learner.entropy_cost=0.2", "learner.max_grad_norm=4", "learner.rho_bar=2"]
    config = make_config(*SMALL, *words, "total_steps=500")
    found = {name: algorithm_config(name, config, SYMBOLS) for name in ALGORITHMS}
    for setup in found.values():
        assert setup.lr == [[0, 1e-3], [500, 1e-4]]
        assert (setup.gamma, setup.grad_clip, setup.grad_clip_by) == (0.9, 4.0, "global_norm")
        assert setup.entropy_coeff == 0.2
        assert (setup.num_env_runners, setup.num_envs_per_env_runner, setup.rollout_fragment_length) == (3, 6, 7)
    assert {name: setup.train_batch_size_per_learner for name, setup in found.items()} == {
        "impala": 2 * 6 * 7,
        "appo": 2 * 6 * 7,
        "ppo": 2 * 3 * 6 * 7,  # all runners play for one batch
    }
    assert {name: setup.vf_loss_coeff for name, setup in found.items()} == {"impala": 0.3, "appo": 0.3, "ppo": 0.15}
    assert found["impala"].vtrace_clip_rho_threshold == found["impala"].vtrace_clip_pg_rho_threshold == 2.0
    assert algorithm_config("ppo", config, SYMBOLS, settings={"lr": 0.5, "clip_param": 0.1}).lr == 0.5


def test_the_page_lists_what_is_heeded() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rllib.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| ", page, re.MULTILINE)
    listed = {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}
    assert listed == {*meaningful("impala"), *meaningful("ppo")}
    keys = [key for key, _ in TRAIN.describe()]
    known = {*keys, *(key.partition(".")[0] for key in keys), *groups(TRAIN)}
    assert listed <= known


# Training

GAMES, BATCHES = 8, 3
TRAINED = (
    *(*SMALL, "actor.num_actors=1", f"actor.num_envs={GAMES}", f"actor.unroll_length={LENGTH}", "device=cpu"),
    *(f"total_steps={BATCHES * GAMES * LENGTH}", f"log.every_steps={GAMES * LENGTH}", "learner.learning_rate=1e-2"),
)


class Note(SimpleNamespace):
    """Of one loss that RLlib computed: in which update, the module, its weights then, what it was given and gave."""

    update: int
    module: AgentModule
    weights: dict[str, np.ndarray]
    batch: dict[str, Any]
    inputs: torch.Tensor


def probing(algorithm: str) -> tuple[type, list[Note]]:
    """RLlib's learner, which takes notes."""
    notes: list[Note] = []
    base: Any = ALGORITHMS[algorithm]().get_default_learner_class()

    class Probing(base):  # type: ignore[misc]
        def compute_loss_for_module(self, *, module_id: str, config: Any, batch: Any, fwd_out: Any) -> Any:
            module = self.module[module_id].unwrapped()
            inputs = fwd_out[Columns.ACTION_DIST_INPUTS].detach().clone()
            weights, update = get_weights(module.agent), self._weights_seq_no
            notes.append(Note(update=update, module=module, weights=weights, batch=dict(batch), inputs=inputs))
            return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)

    return Probing, notes


def check_batches(notes: list[Note], config: Config) -> None:
    """Sequences lie within episodes, start from the state they were played from, and are computed as they were played.

    What is learnt from was played with the weights after some earlier update: those that the next one began with.
    """
    weights_after = {note.update - 1: note.weights for note in reversed(notes)}
    beginnings = middles = 0
    for note in notes:
        seen, mask = note.batch[Columns.OBS], note.batch[Columns.LOSS_MASK]
        assert mask.shape[1] == LENGTH + 1
        assert not seen[FIRST][:, 1:][mask[:, 1:]].any()
        first = seen[FIRST][:, 0].bool()
        beginnings, middles = beginnings + int(first.sum()), middles + int((~first).sum())
        initial = make_module(config, SYMBOLS).agent.core.initial_state(1)
        given = note.batch[Columns.STATE_IN]["0"]
        assert torch.equal(given[first], initial.expand_as(given[first]))
        assert not any(torch.equal(state, initial[0]) for state in given[~first])
        (version,) = note.batch["weights_seq_no"][mask].unique().tolist()
        played_by = make_module(config, SYMBOLS, weights_after[int(version)])
        inputs = played_by.forward_train(note.batch)[Columns.ACTION_DIST_INPUTS]
        torch.testing.assert_close(inputs[mask], note.batch[Columns.ACTION_DIST_INPUTS][mask], rtol=1e-4, atol=1e-5)
    assert beginnings > GAMES
    assert middles > 0
    mask = notes[0].batch[Columns.LOSS_MASK]
    sampled = notes[0].batch[Columns.ACTION_DIST_INPUTS]
    torch.testing.assert_close(notes[0].inputs[mask], sampled[mask], rtol=1e-4, atol=1e-5)


def check_run(run: Path, steps: int) -> None:
    """It is a run folder like any other."""
    policy = load(run)
    assert policy.progress.steps == steps
    assert policy.progress.episodes.count > 0
    assert 0 <= policy.progress.episodes.return_mean <= 1
    assert evaluate(policy, 3, greedy=False).lengths.tolist() == [8, 8, 8]
    header, *lines = (run / "metrics.csv").read_text().splitlines()
    last = dict(zip(header.split(","), lines[-1].split(","), strict=True))
    assert (int(last["steps"]), int(last["episodes"])) == (steps, policy.progress.episodes.count)
    assert 0 < float(last["entropy"]) <= math.log(4) + 1e-6
    assert all(last[name] for name in ("return_mean", "policy_loss", "value_loss", "steps_per_second", "seconds"))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def impala(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run by IMPALA, what its learner noted, and the targets that V-trace gave."""
    learner, notes = probing("impala")
    targets: list[Any] = []
    config = make_config(*TRAINED, f"runs_dir={tmp_path_factory.mktemp('runs')}")
    home = tmp_path_factory.mktemp("home") / "ray_results"
    with pytest.MonkeyPatch.context() as patch, nothing_is_left():
        patch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(home))
        original = impala_torch_learner.vtrace_torch

        def vtrace(**given: Any) -> Any:
            targets.append((given, found := original(**given)))
            return found

        patch.setattr(impala_torch_learner, "vtrace_torch", vtrace)
        result = train(config, "impala", settings={"learner_class": learner})
    assert not home.exists()
    return SimpleNamespace(config=config, notes=notes, targets=targets, result=result)


@pytest.mark.ray
@pytest.mark.slow
def test_impala_learns_from_what_was_played(impala: SimpleNamespace) -> None:
    assert impala.result.finished
    assert impala.result.steps >= BATCHES * GAMES * LENGTH
    assert len(impala.notes) >= BATCHES - 1
    check_batches(impala.notes, impala.config)
    check_run(impala.result.run, impala.result.steps)


@pytest.mark.ray
@pytest.mark.slow
def test_what_was_learnt_is_saved_as_it_is(impala: SimpleNamespace) -> None:
    first, last = impala.notes[0].weights, get_weights(impala.notes[-1].module.agent)
    assert same(first, get_weights(build_agent(impala.config, SYMBOLS, seed=impala.config.seed)))
    assert not same(first, last)
    assert same(last, get_weights(load(impala.result.run).agent))


@pytest.mark.ray
@pytest.mark.slow
def test_a_sequence_that_was_cut_is_not_taken_for_ended(impala: SimpleNamespace) -> None:
    """V-trace's target of its last step holds the value of what came next (the first update is on-policy)."""
    (given, (target, _)), batch = impala.targets[0], impala.notes[0].batch
    cut = 0
    for game, mask in enumerate(batch[Columns.LOSS_MASK]):
        last = int(mask.sum()) - 1
        reward, value = given["rewards"][last, game], given["values"][last + 1, game]
        ended = bool(batch[Columns.TERMINATEDS][game, last])
        expected = reward + (0.0 if ended else impala.config.learner.discount * value)
        torch.testing.assert_close(target[last, game], expected, rtol=1e-3, atol=1e-3)
        cut += not ended
    assert cut > 0
    assert given["values"].abs().max() > 1e-2  # else it would make no difference


@pytest.mark.ray
@pytest.mark.slow
def test_ppo_starts_from_a_run_of_ours(impala: SimpleNamespace, tmp_path: Path) -> None:
    learner, notes = probing("ppo")
    policy = load(impala.result.run)
    config = make_config(*TRAINED, f"runs_dir={tmp_path}", "learner.discount=0.9")
    with nothing_is_left():
        result = train(config, "ppo", policy=policy, settings={"learner_class": learner})
    assert result.finished
    assert same(notes[0].weights, get_weights(policy.agent))
    assert not same(notes[0].weights, notes[-1].weights)
    assert same(get_weights(notes[-1].module.agent), get_weights(load(result.run).agent))
    assert len(notes) >= BATCHES * PPO_EPOCHS * PPO_MINIBATCHES
    check_batches(notes, config)
    check_run(result.run, result.steps)
    newest = latest_checkpoint(result.run / "checkpoints")  # on a slow machine there is one more
    origin = json.loads((newest / "checkpoint.json").read_text())["info"]["rllib"]
    assert (origin["algorithm"], origin["start"]) == ("ppo", str(impala.result.run))


@pytest.mark.ray
@pytest.mark.slow
def test_appo_is_stopped_and_leaves_what_it_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, notes = probing("appo")
    config = make_config(*TRAINED, f"runs_dir={tmp_path}", "total_steps=1000000")
    original = training._Count.take
    calls: list[int] = []

    def take(self: Any, figures: Any) -> bool:
        calls.append(1)
        if len(calls) == BATCHES:
            signal.raise_signal(signal.SIGINT)  # what Ctrl-C does
        return original(self, figures)

    monkeypatch.setattr(training._Count, "take", take)
    with nothing_is_left():
        result = train(config, "appo", settings={"learner_class": learner})
    assert not result.finished
    assert len(calls) == BATCHES
    check_batches(notes, config)
    check_run(result.run, result.steps)
    assert not same(notes[0].weights, get_weights(load(result.run).agent))
    said = capsys.readouterr().out
    assert "stopping, saving" in said
    assert f"rmc_rl.evaluate run={result.run}" in said
    assert find_run("latest", str(tmp_path)) == result.run


# What goes wrong


class Failing:
    """An algorithm of RLlib's that plays ten steps a call and fails in the third; its weights count the calls."""

    def __init__(self, error: Exception, last: float = 2.0) -> None:
        self.error, self.last = error, last
        self.calls = 0
        self.learner_group = self

    def train(self) -> dict[str, Any]:
        self.calls += 1
        if self.calls == 3:
            raise self.error
        return {"env_runners": {"num_env_steps_sampled_lifetime": 10.0 * self.calls}}

    def get_weights(self) -> dict[str, Any]:
        weight = np.full(3, float(self.calls) if self.calls < 2 else self.last)
        return {"default_policy": {"agent.x": weight, "target.x": weight}}


def run_failing(algorithm: Any, folder: Path) -> Path:
    config = make_config(*SMALL, f"runs_dir={folder}")
    run = create_run_folder(config)
    try:
        count = training._Count(SYMBOLS, algorithm="ppo")
        training._loop(config, run, algorithm, count, NoDisplay(), []).run(threading.Event())
    finally:
        run.close()
    raise AssertionError("it went on")


def test_what_was_learnt_is_kept_when_rllib_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of marbles"):
        run_failing(Failing(RuntimeError("out of marbles")), tmp_path)
    (kept,) = tmp_path.glob("*/checkpoints/*")
    state, _ = load_checkpoint(kept)
    assert kept.name == "step-000000000020"
    assert state["learner"]["agent"]["x"].tolist() == [2.0, 2.0, 2.0]
    assert state["learner"]["agent"].keys() == {"x"}


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    class Stopping(Failing):
        def train(self) -> dict[str, Any]:
            result = super().train()
            return {"env_runners": {"num_env_steps_sampled_lifetime": 1e12}} if self.calls == 2 else result

    with pytest.raises(NonFiniteLossError, match=r"are not finite: nothing was saved since"):
        run_failing(Stopping(RuntimeError(), last=math.nan), tmp_path)
    assert not list(tmp_path.glob("*/checkpoints/*"))


def test_an_error_of_rllib_is_one_message_and_what_its_processes_said_is_kept(tmp_path: Path) -> None:
    logs = tmp_path / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "worker-1.err").write_text("Traceback (most recent call last):\nout of marbles\n")
    (logs / "worker-2.err").write_text("hello\n")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UserError) as caught, training._errors_of_rllib(tmp_path, run):
        raise RuntimeError("The actor died.\nMore about it.")
    said = run / "rllib-errors.txt"
    assert str(caught.value) == (f"RLlib failed: RuntimeError: The actor died. (what its processes said is in {said})")
    assert said.read_text() == "Traceback (most recent call last):\nout of marbles\n"
    with pytest.raises(UserError, match=r"^bad$"), training._errors_of_rllib(tmp_path, run):
        raise UserError("bad")


# From a loop of one's own


def test_weights_become_a_run_folder(tmp_path: Path) -> None:
    config = make_config(*SMALL, f"runs_dir={tmp_path}")
    module = make_module(config, SYMBOLS)
    weights = get_weights(module.agent)
    env = make_vector(config.env, 1)
    run = save_agent(config, interface(env), weights, steps=12)
    policy = load(run)
    assert same(get_weights(policy.agent), weights)
    assert policy.progress.steps == 12
    assert evaluate(policy, 2, greedy=True).lengths.tolist() == [8, 8]
    again = make_module(config, policy.progress.interface, get_weights(policy.agent))
    assert same(get_weights(again.agent), weights)
    with pytest.raises(UserError, match=r"the weights do not fit this agent: 'policy\.linear\.bias' is missing"):
        save_agent(config, SYMBOLS, {name: value for name, value in weights.items() if name != "policy.linear.bias"})


# What is typed


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["rllib", *words])
    verb.main()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algorithm=dqn"], "algorithm=dqn is not known: known are: appo, impala, ppo"),
        (["algoritm=ppo"], "unknown key 'algoritm': did you mean 'algorithm'?"),
        (["env=pacman"], "env=pacman is not known"),
        (["learner.learning_rat=1"], "unknown key 'learner.learning_rat': did you mean 'learner.learning_rate'"),
        (["learner.optimizer=adam"], "learner.optimizer means nothing to RLlib's impala"),
        (["resume=latest"], "a run cannot be resumed by RLlib: run=<folder> starts a new one"),
        (["engine=inline"], "engine means nothing to RLlib's impala"),
        (["learner.rho_bar=2", "algorithm=ppo"], "learner.rho_bar means nothing to RLlib's ppo"),
        (["agent.normalise_value=true"], "agent.normalise_value means nothing to RLlib's impala"),
        (["seed=0,1"], "'seed=0,1' names several values: RLlib trains one run at a time"),
        (["run=nowhere"], "the run folder nowhere does not exist"),
        (["rllib.clip_parm=0.1", "algorithm=ppo"], "rllib.clip_parm is not a setting of RLlib's ppo: did you mean"),
        (["rllib.lr=fast"], "RLlib's impala refuses its settings: Invalid `lr` (fast)"),
        (["env=gym", "env.id=elsewhere:Game-v0"], "names the module 'elsewhere', whose code would be run"),
        (["fast"], "'fast' is not of the form key=value"),
        (["--fast"], "'--fast' is not of the form key=value"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        call(monkeypatch, *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_verb_takes_a_run_a_configuration_and_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = make_config(*SMALL, f"runs_dir={tmp_path}")
    run = save_agent(config, SYMBOLS, get_weights(build_agent(config, SYMBOLS, seed=7)))
    given: dict[str, Any] = {}
    monkeypatch.setattr(verb, "train", lambda *arguments, **named: given.update(named, arguments=arguments))
    call(monkeypatch, "run=latest", f"runs_dir={tmp_path}", "algorithm=ppo", "rllib.clip_param=0.1", "total_steps=2e3")
    taken, algorithm = given["arguments"]
    assert (taken.env, taken.core, taken.total_steps, algorithm) == (config.env, config.core, 2000, "ppo")
    assert given["settings"] == {"clip_param": 0.1}
    assert given["policy"].run == run
    call(monkeypatch, "env=repeat-first")
    assert given["arguments"] == (make_config("env=repeat-first"), "impala")
    assert (given["policy"], given["settings"]) == (None, {})


def test_weights_of_another_core_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = make_config(*SMALL, f"runs_dir={tmp_path}")
    save_agent(config, SYMBOLS, get_weights(build_agent(config, SYMBOLS)))
    policy = load("latest", runs_dir=str(tmp_path))
    with pytest.raises(UserError, match="the weights do not fit this agent"):
        train(make_config("env=repeat-first", "core=lstm", f"runs_dir={tmp_path}"), policy=policy)
