from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
import torch

from rmc_rl import export as module
from rmc_rl.export import export, main
from rmc_rl.policy import Policy, PolicyState, load
from rmc_rl.trainer import train

WORDS = ["engine=inline", "engine.learner_threads=1", "actor.num_envs=8", "log.display=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return train([*WORDS, "core.head_size=8", "total_steps=2000", f"runs_dir={folder}"]).run


@pytest.fixture(scope="module")
def policy(run: Path) -> Policy:
    return load(run)


@pytest.fixture(scope="module")
def onnx_file(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(policy, tmp_path_factory.mktemp("exported") / "agent.onnx").path


def test_an_onnx_file_plays_as_the_agent_does(policy: Policy, onnx_file: Path) -> None:
    """A program that has the file, onnxruntime and an environment, and nothing else."""
    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["rmc_rl"])
    env = gymnasium.make("rmc_envs:rmc/MiniPacmanViewport-v0")
    observation, _ = env.reset(seed=3)
    state = {name: np.array([leaf], np.float32) for name, leaf in about["initial_state"].items()}
    ours = policy.initial_state(1)
    action, reward, reset = 0, 0.0, True
    for _ in range(60):
        fed = {
            "observation": observation[None],
            "last_action": np.array([action]),
            "last_reward": np.array([reward], np.float32),
            "reset": np.array([reset]),
        }
        outputs = dict(zip(about["outputs"], session.run(about["outputs"], fed | state), strict=True))
        state = {name: outputs[f"next_{name}"] for name in state}
        thought = policy.think(observation[None], ours, np.array([reset]), np.array([reward], np.float32))
        probabilities = np.exp(outputs["logits"]) / np.exp(outputs["logits"]).sum()
        np.testing.assert_allclose(probabilities, thought.policy.softmax(-1), atol=1e-4)
        np.testing.assert_allclose(outputs["value"], thought.value, atol=1e-4)
        action = int(outputs["logits"].argmax())
        ours = PolicyState(thought.core, np.array([action]))
        observation, step_reward, terminated, truncated, _ = env.step(action)
        reward, reset = float(step_reward), terminated or truncated
        if reset:
            observation, _ = env.reset()


def test_the_record_says_what_a_program_must_know(policy: Policy, onnx_file: Path) -> None:
    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["rmc_rl"])
    assert about["observation"] == {"shape": [5, 5, 3], "dtype": "uint8", "low": 0, "high": 255}
    assert about["action_names"] == ["stay", "right", "up", "left", "down"]
    assert about["inputs"] == [tensor.name for tensor in session.get_inputs()]
    assert about["outputs"] == [tensor.name for tensor in session.get_outputs()]
    assert about["environment"]["id"] == "rmc_envs:rmc/MiniPacmanViewport-v0"
    assert (about["run"], about["steps"], about["core"]) == (policy.run.name, policy.progress.steps, "rmc")
    np.testing.assert_array_equal(about["initial_state"]["memory"], policy.agent.initial_state(1)[0])


def test_a_pt2_file_is_the_agent(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no ONNX."""
    hide(monkeypatch, *module.ONNX_PACKAGES)
    exported = export(policy, tmp_path / "agent.pt2")
    record = {"rmc_rl.json": ""}
    step = torch.export.load(exported.path, extra_files=record).module()
    about = json.loads(record["rmc_rl.json"])
    state = {name: torch.tensor([leaf, leaf]) for name, leaf in about["initial_state"].items()}
    observation = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    reset = np.array([True, False])
    thought = policy.think(observation, policy.initial_state(2), reset, np.ones(2, np.float32))
    rows = (torch.from_numpy(observation), torch.zeros(2, dtype=torch.int64), torch.ones(2), torch.from_numpy(reset))
    out = step(*rows, state)
    np.testing.assert_allclose(out["logits"].softmax(-1), thought.policy.softmax(-1), atol=1e-5)
    np.testing.assert_allclose(out["value"], thought.value, atol=1e-5)
    np.testing.assert_allclose(out["state"]["memory"], thought.core, atol=1e-5)
    assert exported.difference <= 1e-4


def test_vectors_are_read_in_the_type_of_their_space(tmp_path: Path) -> None:
    words = [*WORDS, "env=repeat-first", "core=lstm", "core.hidden_size=8", "total_steps=300"]
    policy = load(train([*words, f"runs_dir={tmp_path}"]).run)
    record = {"rmc_rl.json": ""}
    torch.export.load(export(policy, tmp_path / "new" / "agent.pt2").path, extra_files=record)
    about = json.loads(record["rmc_rl.json"])
    assert about["observation"] == {"shape": [4], "dtype": "float32", "low": 0.0, "high": 1.0}
    assert about["action_names"] == [f"symbol {number}" for number in range(4)]
    assert about["inputs"][-2:] == ["hidden_state_h", "cell_state_c"]


def test_bounds_that_json_can_hold() -> None:
    assert module._bound(np.array([-np.inf, 1.0])) is None
    assert module._bound(np.array([[2.0, 2.0]])) == 2.0
    assert module._bound(np.array([[1, 2]])) == [[1, 2]]


def test_a_file_that_computes_something_else_gets_no_name(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.pt2"
    path.write_text("what was there before")
    true_reader = module._reader

    def wrong(*arguments: Any) -> module.Run:
        run = true_reader(*arguments)
        return lambda fed: run(fed | {"reset": torch.zeros_like(fed["reset"])})

    monkeypatch.setattr(module, "_reader", wrong)
    with pytest.raises(module.UserError, match=r"agent\.pt2 was not written: over 32 steps it differs"):
        export(policy, path)
    assert path.read_text() == "what was there before"
    assert [item.name for item in tmp_path.iterdir()] == ["agent.pt2"]


def test_a_link_planted_in_the_run_folder_is_replaced_not_followed(policy: Policy, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "agent.pt2"
    victim.write_text("mine")
    path.symlink_to(victim)
    export(policy, path)
    assert victim.read_text() == "mine"
    assert not path.is_symlink()


def test_importing_needs_no_onnx() -> None:
    code = "import sys, rmc_rl.export; print(*{'onnx', 'onnxscript', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """These packages are not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in names else find(name, *more))


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["export", *words])
    main()


def test_by_default_the_file_lies_in_the_run_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(run.iterdir())
    call(monkeypatch, f"run={run}")
    out, error = capsys.readouterr()
    assert out.startswith(f"{run}/agent.onnx: 0.")
    assert "equal to the agent within" in out
    assert out.count("\n") == 1
    assert f"{run.name} after " in error.replace("\n", "")
    assert set(run.iterdir()) - before == {run / "agent.onnx"}


def test_of_an_agent_of_the_package_the_file_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "pretrained=minipacman-viewport", "format=pt2")
    assert capsys.readouterr().out.startswith("agent.pt2: ")
    assert [path.name for path in tmp_path.iterdir()] == ["agent.pt2"]


def test_the_format_alone_names_the_file(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"run={run}", "format=pt2")
    assert capsys.readouterr().out.startswith(f"{run}/agent.pt2: 0.")
    assert torch.export.load(run / "agent.pt2") is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=nowhere"], "the run folder nowhere does not exist"),
        (["files=a.onnx"], "unknown option 'files': did you mean 'file'"),
        (["file=agent.pb"], "file=agent.pb: the name must end in .onnx or .pt2"),
        (["format=tflite"], "format=tflite is not known: known are: onnx, page, pt2"),
        (["format=pt2", "file=agent.onnx"], "file=agent.onnx: with format=pt2 the name must end in .pt2"),
        (["onnxruntime_web=there"], "onnxruntime_web=there: only a page needs it (format=page)"),
        (["file=/dev/null/agent.pt2"], "file=/dev/null/agent.pt2: /dev/null cannot be written"),
        (["checkpoint=worst"], "has no checkpoint 'worst'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_1(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as leaving:
        call(monkeypatch, *([] if words[0].startswith("run=") else [f"run={run}"]), *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_a_missing_package_is_named_with_its_remedy(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "onnxscript")
    with pytest.raises(module.UserError, match=r'an ONNX file needs onnxscript: pip install "rmc-rl\[export\]"'):
        export(policy, tmp_path / "agent.onnx")
    assert not list(tmp_path.iterdir())


def test_an_environment_that_is_not_trusted_is_refused(policy: Policy, tmp_path: Path) -> None:
    theirs = load(policy.run)
    theirs.config.env.id = "somewhere:Else-v0"
    with pytest.raises(module.UserError, match="add trust=true"):
        export(theirs, tmp_path / "agent.pt2")
    assert not list(tmp_path.iterdir())
