from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rmc_rl import evaluate as module
from rmc_rl.config import EnvConfig
from rmc_rl.evaluate import Evaluation, evaluate, main
from rmc_rl.policy import Policy, load
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=4000"]
    return train([*words, "log.display=none", f"runs_dir={folder}"]).run


@pytest.fixture
def policy(run: Path) -> Policy:
    return load(run)


@pytest.mark.parametrize("greedy", [False, True])
def test_an_episode_depends_on_its_seed_alone(policy: Policy, greedy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    policy.config.env.kwargs["max_steps"] = 60
    together = evaluate(policy, 12, greedy=greedy, seed=500)
    monkeypatch.setattr(module, "GAMES_AT_ONCE", 5)
    in_parts = evaluate(policy, 12, greedy=greedy, seed=500)
    np.testing.assert_array_equal(together.returns, in_parts.returns)
    np.testing.assert_array_equal(together.lengths, in_parts.lengths)
    later = evaluate(policy, 4, greedy=greedy, seed=508)
    np.testing.assert_array_equal(together.returns[8:], later.returns)


def test_every_episode_is_played_to_its_end(policy: Policy) -> None:
    """Scripted episodes of 2 to 9 steps: the long ones count as much as the short ones."""
    policy.config.env = EnvConfig("counting", "tests.rmc_rl.counting:Counting-v0", {})
    ended: list[int] = []
    found = evaluate(policy, 16, greedy=True, seed=0, trust=True, advance=ended.append)
    assert found.lengths.tolist() == [2 + seed % 8 for seed in range(16)]
    assert found.returns.tolist() == [2.0 + seed % 8 for seed in range(16)]
    assert sum(ended) == 16


def test_games_in_processes_are_no_more_than_the_machine_has_cores_for(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def playing(policy: Policy, count: int, *rest: object) -> tuple[np.ndarray, np.ndarray]:
        counts.append(count)
        return np.zeros(count), np.zeros(count, int)

    monkeypatch.setattr(module, "_play", playing)
    monkeypatch.setattr(module, "available_cores", lambda: 3)
    policy.config.env.vectorization = "async"
    assert len(evaluate(policy, 20, greedy=True).returns) == 20
    assert counts == [6, 6, 6, 2]


def test_figures() -> None:
    found = Evaluation(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1, 1, 1, 1]))
    assert found.mean == 3.0
    assert found.ci95 == pytest.approx(1.96 * np.std([1, 2, 3, 6], ddof=1) / 2)
    assert Evaluation(np.array([1.0]), np.array([1])).ci95 == float("inf")


def test_the_default_seeds_are_apart_from_training() -> None:
    assert module.EvaluateOptions().seed == EVALUATION_SEEDS == 2**30


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *words])
    main()


def test_prints_one_json_object_on_the_last_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"run={run}", "episodes=6", "json=true")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["episodes"] == 6
    for mode in ("sampled", "greedy"):
        found = evaluate(load(run), 6, greedy=mode == "greedy")
        assert result[f"mean_return_{mode}"] == found.mean
        assert result[f"ci95_return_{mode}"] == found.ci95


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=nowhere"], "the run folder nowhere does not exist"),
        (["episode=3"], "unknown option 'episode': did you mean 'episodes'"),
        (["episodes=0"], "episodes=0 is too small: at least 1"),
        (["episodes=many"], "episodes=many"),
        (["mode=best"], "mode=best is not known"),
        (["checkpoint=worst"], "has no checkpoint 'worst'"),
        (["12"], "'12' is not of the form key=value"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_1(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as leaving:
        call(monkeypatch, *([] if words[0].startswith("run=") else [f"run={run}"]), *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_games_that_share_one_random_stream_get_environments_of_their_own(tmp_path: Path) -> None:
    """CartPole's native batch takes one seed for all of its games."""
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=4", "actor.num_envs=4", "total_steps=200"]
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "cartpole.yaml").write_text("name: cartpole\nid: CartPole-v1\nkwargs: {}\n")
    made = train([*words, "log.display=none", "env=cartpole", f"runs_dir={tmp_path}"], extra_dir=str(tmp_path))
    found = evaluate(load(made.run), 5, greedy=True, seed=3)
    assert found.returns.tolist()[2:] == evaluate(load(made.run), 3, greedy=True, seed=5).returns.tolist()


def test_the_json_of_a_single_episode_is_valid(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"run={run}", "episodes=1", "json=true", "mode=sampled")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    result = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=refuse)
    assert result["ci95_return_sampled"] is None


def test_the_share_of_episodes_that_are_solved(
    policy: Policy, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"run={run}", "episodes=24", "mode=sampled", "json=true")
    call(monkeypatch, *words)
    assert "solved" not in capsys.readouterr().out
    returns = evaluate(policy, 24, greedy=False).returns
    threshold = float(np.sort(returns)[12])  # as good as this is good enough
    call(monkeypatch, *words, f"solved={threshold}")
    line, result = capsys.readouterr().out.splitlines()
    share = float((returns >= threshold).mean())
    assert f"{100 * share:.1f} % solved (95 %: " in line
    found = json.loads(result)
    assert found["solved_sampled"] == share
    assert 0 < found["solved_low_sampled"] < share < found["solved_high_sampled"] < 1


def test_an_agent_of_the_package_is_played(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice by random play at least: `rmc_envs.random_policy` reaches 10."""
    call(monkeypatch, "pretrained=minipacman-viewport", "episodes=8", "mode=greedy", "json=true")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path(result["run"]).name == "minipacman-viewport"
    assert result["mean_return_greedy"] > 20
