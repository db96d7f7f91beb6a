from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from rmc_rl.analysis import analysis_of
from rmc_rl.analysis import language as module
from rmc_rl.analysis.language import read
from rmc_rl.supervised import LanguageModel, make_model, make_task
from rmc_rl.supervised.tasks.language_modelling import LanguageModelling
from rmc_rl.supervised.trained import load
from rmc_rl.supervised.trainer import train
from tests.rmc_rl.supervised.language.texts import write_texts

CPU = torch.device("cpu")


@pytest.fixture
def task(tmp_path: Path) -> LanguageModelling:
    found = make_task(
        "language_modelling", data=str(write_texts(tmp_path / "texts", 200)), cache=str(tmp_path), window=6
    )
    assert isinstance(found, LanguageModelling)
    return found


def model_of(task: LanguageModelling) -> LanguageModel:
    torch.manual_seed(0)
    model = make_model(task, "lstm", {"hidden_size": 6}, embedding_size=8, cutoffs=(5,))
    assert isinstance(model, LanguageModel)
    return model


@pytest.mark.parametrize("rows", [7, 50, 10_000])
@pytest.mark.parametrize("words", [10_000, 25])
def test_a_text_is_read_in_its_order(
    words: int, rows: int, task: LanguageModelling, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(task)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows)
    counted: list[int] = []
    reading = read(task, model, "test", words, counted.append)
    assert reading.targets.tolist() == task.corpus.texts["test"].tolist()
    assert sum(counted) == len(reading.targets)
    state, total, right = None, 0.0, 0
    for batch in task.pieces(words, "test", CPU):
        with torch.no_grad():
            loss, scores, state = model.judge(batch, state)
        total += float(loss)
        right += int(scores.right)
    row = reading.row()
    assert row["loss"] * row["words"] == pytest.approx(total, rel=1e-5), "as the learner judges it"
    assert row["accuracy"] * row["words"] == pytest.approx(right)
    assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
    assert row["low"] < row["perplexity"] < row["high"]


def test_a_memory_that_is_not_used_needs_no_context(task: LanguageModelling) -> None:
    model = model_of(task)
    with torch.no_grad():
        for parameter in model.core.parameters():
            parameter.zero_()
    whole = read(task, model, "test", 10_000, lambda more: None)
    cut = read(task, model, "test", 9, lambda more: None)
    torch.testing.assert_close(cut.losses, whole.losses)


@pytest.mark.parametrize("words", [4, 25, 33])
def test_the_memory_begins_anew_after_as_many_words_as_are_said(words: int, task: LanguageModelling) -> None:
    model = model_of(task)
    reading = read(task, model, "test", words, lambda more: None)
    for first in range(0, len(reading.targets), words):
        alone = torch.cat([torch.tensor([task.corpus.end]), reading.targets])[first : first + words + 1]
        chances, _ = model(alone[:-1, None], torch.eye(len(alone) - 1)[:, :1] > 0, len(alone) - 1)
        expected = -chances[:, 0].gather(1, alone[1:, None])[:, 0]
        torch.testing.assert_close(reading.losses[first : first + words], expected)


def test_groups_of_words_are_all_words(task: LanguageModelling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANKS", (3, 7, 1000))
    targets = torch.arange(task.num_classes)
    groups = module._groups(task, targets)
    assert [name for name, _ in groups] == ["1 to 3", "4 to 7", f"8 to {task.num_classes}"]
    assert torch.equal(sum(chosen.int() for _, chosen in groups), torch.ones_like(targets, dtype=torch.int32))  # type: ignore[arg-type]
    assert groups[1][1].nonzero()[:, 0].tolist() == [3, 4, 5, 6]


def test_the_whole_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "CONTEXTS", (2, 5, 1_000_000))
    words = ["task=language", f"task.data={write_texts(tmp_path / 'texts', 300)}", "task.window=5", "core=lstm"]
    words += ["core.hidden_size=8", "model.embedding_size=8", "learner.batch_size=20", "total_steps=3"]
    words += ["log.display=none", "log.tensorboard=false", "wandb=disabled", "learner.threads=1"]
    result = train([*words, f"runs_dir={tmp_path / 'runs'}"])
    trained = load(result.run)
    seen: list[Any] = []
    found = analysis_of(trained.task)(trained, 1, 0, lambda done, total: seen.append((done, total)))
    assert found.numbers["texts"]["valid"]["loss"] == pytest.approx(result.test["loss"], rel=1e-5)
    assert list(found.numbers["context"]) == ["2", "5", f"{len(trained.task.corpus.texts['test']):,}"]  # type: ignore[attr-defined]
    assert found.numbers["context"]["2"]["words"] == found.numbers["texts"]["test"]["words"]
    assert seen[-1][0] == seen[-1][1]
    assert list(found.pictures) == ["perplexity.png"]
    valid = (tmp_path / "texts" / "wiki.valid.tokens").read_text()
    assert found.numbers["unknown"]["valid"] == pytest.approx(1 / (len(valid.split()) + valid.count("\n")))
    assert found.numbers["unknown"]["test"] == 0
    text = (tmp_path / "texts" / "wiki.test.tokens").read_text().replace("\n", " <eos> ").split()
    for example in found.examples:
        before = example.question.removeprefix("… ").split()
        places = [at for at in range(len(text)) if text[max(at - 12, 0) : at] == before and text[at] == example.target]
        assert places, "the word that follows in the text"


def test_nothing_of_no_words() -> None:
    nothing = torch.zeros(0)
    row = module.Reading(nothing, nothing, nothing).row()
    assert row["words"] == 0
    assert math.isnan(row["perplexity"])
