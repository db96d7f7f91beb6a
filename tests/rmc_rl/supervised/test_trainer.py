from __future__ import annotations

import csv
import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rmc_rl.checkpoint import latest_checkpoint, load_checkpoint
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.run_folder import find_run
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.learner import SupervisedLearner
from rmc_rl.supervised.progress import GLOSSARY
from rmc_rl.supervised.trained import load
from rmc_rl.supervised.trainer import SupervisedResult, build, train
from tests.rmc_rl.supervised.language.texts import write_texts

SMALL = (
    *("task.num_vectors=3", "task.dimensions=2", "core.mem_slots=2", "core.head_size=4", "core.num_heads=2"),
    *("model.hidden_sizes=[8]", "learner.batch_size=40", "learner.sequences_at_once=16", "learner.threads=1"),
    *("evaluation.every_steps=4", "evaluation.sequences=30", "log.every_steps=3", "log.display=none"),
    *("log.tensorboard=false", "wandb=disabled", "total_steps=10"),
)
TIMED = {"steps_per_second", "sequences_per_second", "data_share", "memory_mb", "seconds"}


def run(folder: Path, *words: str) -> SupervisedResult:
    return train([*SMALL, f"runs_dir={folder}", *words])


def rows(result: SupervisedResult) -> list[dict[str, str]]:
    with (result.run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMED} for row in csv.DictReader(file)]


def weights(result: SupervisedResult) -> dict[str, list[float]]:
    state, _ = load_checkpoint(latest_checkpoint(result.run / "checkpoints"))
    return {name: value.tolist() for name, value in state["model"].items()}


def stop_after(updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SupervisedLearner.update

    def update(self: SupervisedLearner) -> object:
        if self.steps == updates - 1:
            signal.raise_signal(signal.SIGINT)  # what Ctrl-C does
        return original(self)

    monkeypatch.setattr(SupervisedLearner, "update", update)


def test_leaves_a_whole_run_folder(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.finished
    assert result.steps == 10
    assert result.run.name.endswith("-nth_farthest-rmc-0")
    assert SUPERVISED.read(result.run / "config.yaml").task["num_vectors"] == 3
    assert json.loads((result.run / "versions.json").read_text())["torch"] == torch.__version__
    found = rows(result)
    assert [int(row["steps"]) for row in found] == [3, 6, 9, 10]
    assert set(found[0]) == set(GLOSSARY) - TIMED
    assert found[0]["test_loss"] == "", "no evaluation yet"
    assert float(found[-1]["test_accuracy"]) == pytest.approx(result.test["accuracy"], abs=1e-5)
    assert int(found[-1]["sequences"]) == 400
    assert (result.run / "checkpoints" / "best").is_dir()


def test_two_runs_of_a_seed_are_bit_identical(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a"), run(tmp_path / "b", "learner.threads=3")
    assert weights(one) == weights(other), "on any number of threads"
    assert rows(one) == rows(other)
    assert weights(one) != weights(run(tmp_path / "c", "seed=1"))


@pytest.mark.parametrize("updates", [1, 4, 6])
def test_a_run_cut_at_any_update_and_resumed_is_bit_identical(
    updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["task=copy", "task.curriculum=combine", "task.patience=2", "model.hidden_sizes=[8]"]
    small = [word for word in SMALL if not word.startswith("task.")]
    whole = train([*small, *words, f"runs_dir={tmp_path / 'whole'}"])
    with monkeypatch.context() as patch:
        stop_after(updates, patch)
        cut = train([*small, *words, f"runs_dir={tmp_path / 'cut'}"])
    assert not cut.finished
    assert cut.steps == updates
    resumed = train(["resume=latest", f"runs_dir={tmp_path / 'cut'}"])
    assert resumed.run == cut.run
    assert weights(resumed) == weights(whole)
    assert rows(resumed) == rows(whole)


@pytest.mark.parametrize("change", ["task.window=4", "another text"])
def test_a_memory_of_another_place_in_the_text_is_not_taken_up(change: str, tmp_path: Path) -> None:
    words = language(tmp_path)
    first = train([*words, f"runs_dir={tmp_path / 'runs'}"])
    state, _ = load_checkpoint(latest_checkpoint(first.run / "checkpoints"))
    config = SUPERVISED.make(*words, *([change] if "=" in change else []))
    if change == "another text":  # of the same words
        train_text = tmp_path / "texts" / "wiki.train.tokens"
        train_text.write_text("".join(reversed(train_text.read_text().splitlines(keepends=True))))
    learner = SupervisedLearner(*build(config), config, "cpu")
    learner.set_state(state)
    assert learner.steps == first.steps
    assert learner._memory is None
    unchanged = SUPERVISED.make(*words)
    if change != "another text":
        learner = SupervisedLearner(*build(unchanged), unchanged, "cpu")
        learner.set_state(state)
        assert learner._memory is not None


def language(folder: Path, *words: str) -> list[str]:
    small = [word for word in SMALL if not word.startswith(("task.", "model."))]
    data = ["task=language", f"task.data={write_texts(folder / 'texts', 300)}", "task.window=5"]
    sizes = ["model.embedding_size=8", "learner.batch_size=40", "core.mem_slots=1", "evaluation.sequences=3"]
    return [*small, *data, *sizes, *words]


@pytest.mark.parametrize("updates", [1, 4, 6])
def test_a_language_run_cut_at_any_update_goes_on_within_its_text(
    updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = language(tmp_path, "model.cutoffs=[6,10]")
    whole = train([*words, f"runs_dir={tmp_path / 'whole'}", "learner.threads=3"])
    with monkeypatch.context() as patch:
        stop_after(updates, patch)
        cut = train([*words, f"runs_dir={tmp_path / 'cut'}"])
    assert cut.steps == updates
    resumed = train(["resume=latest", f"runs_dir={tmp_path / 'cut'}"])
    assert weights(resumed) == weights(whole), "dropout and the streams' memory included"
    assert rows(resumed) == rows(whole)
    assert float(rows(whole)[-1]["test_perplexity"]) == pytest.approx(math.exp(whole.test["loss"]), rel=1e-4)


def test_a_language_run_is_judged_by_its_loss(tmp_path: Path) -> None:
    result = train([*language(tmp_path), f"runs_dir={tmp_path / 'runs'}", "checkpoint.every_seconds=1e-9"])
    _, info = load_checkpoint(result.run / "checkpoints" / "best")
    assert info["best"] == -info["test"]["loss"] < 0
    trained = load(result.run)
    batch, words = next(trained.answers(3, seed=0))
    assert trained.task.answer(words[:, 0], batch.mask[:, 0]).split()


def test_another_text_does_not_fit_a_checkpoint(tmp_path: Path) -> None:
    result = train([*language(tmp_path), f"runs_dir={tmp_path / 'runs'}"])
    (tmp_path / "texts" / "wiki.train.tokens").write_text("quite another text\n" * 1000)
    with pytest.raises(UserError, match=r"does not fit: the vocabulary of its texts was another one"):
        load(result.run)
    with pytest.raises(UserError, match=r"does not fit: the vocabulary of its texts was another one"):
        train([f"resume={result.run}", "total_steps=20"])
    assert latest_checkpoint(result.run / "checkpoints").name == "step-000000000010"


def test_a_language_model_learns(tmp_path: Path) -> None:
    """Sentences of which each word but the first follows from the one before it."""
    words = language(tmp_path, "learner.learning_rate=1e-2", "total_steps=150", "learner.max_grad_norm=1")
    for part, count in (("train", 400), ("valid", 30), ("test", 30)):
        lines = [f"{start} is {start} and so on" for start in "ab" * count]
        (tmp_path / "texts" / f"wiki.{part}.tokens").write_text("\n".join(lines) + "\n")
    result = train([*words, "model.dropout=0", "core.head_size=16", f"runs_dir={tmp_path / 'runs'}"])
    assert result.test["loss"] < 0.05, "even the first word follows, from the line before"


def test_bfloat16_learns_nearly_the_same(tmp_path: Path) -> None:
    exact, rounded = run(tmp_path / "a"), run(tmp_path / "b", "precision=bfloat16")
    assert weights(exact) != weights(rounded)
    assert rounded.test["loss"] == pytest.approx(exact.test["loss"], rel=1e-2)
    for name, value in weights(exact).items():
        torch.testing.assert_close(torch.tensor(weights(rounded)[name]), torch.tensor(value), atol=1e-2, rtol=0.1)


@pytest.mark.slow
def test_compiled_learns_the_same(tmp_path: Path) -> None:
    # By gradients that are nothing but rounding, Adam takes steps of full size.
    words = ("total_steps=3", "core.fast=false", "learner.optimizer=rmsprop", "learner.epsilon=1")
    plain, compiled = run(tmp_path / "a", *words), run(tmp_path / "b", *words, "learner.compile=true")
    for name, value in weights(plain).items():
        torch.testing.assert_close(torch.tensor(weights(compiled)[name]), torch.tensor(value), atol=1e-5, rtol=1e-3)


def test_it_learns(tmp_path: Path) -> None:
    """Two digits from the last to the first: without a memory one in ten is right."""
    small = [word for word in SMALL if not word.startswith("task.")]
    words = ["task=reverse", "task.length=2", "core.mem_slots=3", "core.head_size=8", "learner.learning_rate=3e-3"]
    words += ["model.hidden_sizes=[32]", "learner.batch_size=64", "total_steps=800", "evaluation.every_steps=400"]
    result = train([*small, *words, f"runs_dir={tmp_path}", "learner.threads=2", "log.every_steps=400"])
    assert result.test["solved"] > 0.95, result.test


def test_resume_of_an_agents_run_is_refused_and_not_the_latest(tmp_path: Path) -> None:
    result = run(tmp_path)
    with pytest.raises(UserError, match=r"was made by `python -m rmc_rl.supervised`"):
        find_run(str(result.run))
    with pytest.raises(UserError, match="there is no run in"):
        find_run("latest", str(tmp_path))


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"learner\.learning_rate helps"):
        run(tmp_path, "learner.learning_rate=1e30", "learner.max_grad_norm=null", "checkpoint.every_seconds=1e-9")
    (folder,) = tmp_path.iterdir()
    assert latest_checkpoint(folder / "checkpoints")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("task.num_vectors=1", "the task cannot be made: num_vectors: 1 given, at least 2 needed"),
        ("task.name=nothing", "the task cannot be made: unknown task 'nothing'"),
        ("core.mem_slots=0", "the model cannot be built: mem_slots"),
        ("model.embedding_size=4", "the model cannot be built: embedding_size: 4 given"),
        ("device=cuda", "torch sees no GPU"),
        ("modules=[nothing_like_it]", "trust=true"),
    ],
)
def test_bad_input_leaves_no_folder(word: str, message: str, tmp_path: Path) -> None:
    if word == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=message):
        run(tmp_path / "runs", word)
    assert not (tmp_path / "runs").exists()


def test_from_a_configuration(tmp_path: Path) -> None:
    config = SUPERVISED.make(*SMALL, f"runs_dir={tmp_path}", "total_steps=2")
    assert train(config).steps == 2
    with pytest.raises(UserError, match="resume goes with what is typed"):
        train(replace(config, resume="latest"))
