"""The paper's configurations: they build, and their sizes are those that the paper states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rmc_agents import DNCCore, LSTMBankCore, LSTMCore, RelationalMemory
from rmc_agents.registry import make_core
from rmc_rl.overrides import groups
from rmc_rl.supervised import SequenceModel, Task, make_model, make_task
from rmc_rl.supervised.config import SUPERVISED, SupervisedConfig
from rmc_rl.supervised.trainer import build as build_all
from tests.rmc_rl.supervised.language.texts import write_texts

ALL = [name for name in groups(SUPERVISED)["experiment"] if name.startswith("paper-")]
PAPERS = [name for name in ALL if "language" not in name]  # which reads texts and has another model


def build(*words: str) -> tuple[SupervisedConfig, Task, SequenceModel]:
    config = SUPERVISED.make(*words)
    assert isinstance(config, SupervisedConfig)
    task_options: dict[str, Any] = dict(config.task)
    core_options: dict[str, Any] = dict(config.core)
    task = make_task(task_options.pop("name"), **task_options)
    model = make_model(task, core_options.pop("name"), core_options, hidden_sizes=tuple(config.model.hidden_sizes))
    return config, task, model


@pytest.mark.parametrize("name", PAPERS)
def test_an_experiment_answers_its_task(name: str) -> None:
    config, task, model = build(f"experiment={name}")
    batch = task.batch(2, torch.Generator().manual_seed(0))
    logits, _ = model(batch.inputs, batch.reset, batch.num_answers)
    assert logits.shape == (batch.num_answers, 2, task.num_classes)
    assert logits.isfinite().all()
    assert config.model.hidden_sizes == [256] * 4
    learner = config.learner
    expected = (1600, 1e-4) if "nth-farthest" in name else (128, 1e-3)
    assert (learner.batch_size, learner.learning_rate) == expected
    assert (learner.optimizer, learner.max_grad_norm, learner.learning_rate_schedule) == ("adam", None, "constant")
    if "nth-farthest" not in name:
        assert (config.total_steps, config.evaluation.sequences) == (200_000, 12_800)
        assert (config.task["length"], config.task["curriculum"]) == (5, "mix")


@pytest.mark.parametrize(("task", "units"), [("nth-farthest", 2048), ("programs", 2048)])
def test_the_memories_are_of_the_papers_size(task: str, units: int) -> None:
    core = build(f"experiment=paper-{task}-rmc")[2].core
    assert isinstance(core, RelationalMemory)
    assert core.output_size == units
    assert core.num_blocks == 1
    if task == "programs":
        assert core.gate_style == "memory"
        assert core.mem_slots in (2, 4)
        assert core.num_heads in (2, 4)
    else:
        assert core.mem_slots in (1, 8, 16)
        assert core.num_heads in (1, 8, 16)


def test_the_baselines_are_of_the_papers_size() -> None:
    lstm = build("experiment=paper-programs-lstm")[2].core
    assert isinstance(lstm, LSTMCore)
    assert (lstm.num_layers, lstm.hidden_size, lstm.output_size) == (2, 1024, 2048)
    bank = build("experiment=paper-programs-lstm-bank")[2].core
    assert isinstance(bank, LSTMBankCore)
    assert bank.num_cells * bank.cell_size == 2048
    for name, has_lstm in (("paper-programs-dnc", True), ("paper-memorization-dnc", False)):
        dnc = build(f"experiment={name}")[2].core
        assert isinstance(dnc, DNCCore)
        assert (dnc.mem_slots, dnc.word_size, dnc.num_reads, dnc.num_writes) == (80, 64, 4, 1)
        assert isinstance(dnc.controller, LSTMCore) == has_lstm


@pytest.mark.parametrize("task", sorted(groups(SUPERVISED)["task"]))
def test_another_task_takes_the_place_of_an_experiments(task: str) -> None:
    config, built, _ = build("experiment=paper-programs-rmc", f"task={task}")
    assert config.learner.batch_size == 128
    assert built.batch(1, torch.Generator()).num_answers >= 1
    plain = SUPERVISED.make(f"task={task}")
    assert isinstance(plain, SupervisedConfig)
    assert config.task == plain.task


def test_the_language_model_is_the_papers(tmp_path: Path) -> None:
    config = SUPERVISED.make("experiment=paper-language-rmc", f"task.data={write_texts(tmp_path / 'texts', 400)}")
    assert isinstance(config, SupervisedConfig)
    learner = config.learner
    assert (learner.batch_size, learner.learning_rate, learner.max_grad_norm) == (384, 1e-3, 0.1)
    assert (config.task["window"], config.task["tokenize"]) == (100, "spaces")
    options = {str(key): value for key, value in config.core.items() if key != "name"}
    core = make_core("rmc", config.model.embedding_size or 0, **options)
    assert isinstance(core, RelationalMemory)
    assert (core.mem_slots, core.mem_size, core.num_heads, core.num_blocks) == (1, 2500, 4, 1)
    assert options["attention_mlp_layers"] == 5
    assert (config.model.embedding_size, config.model.dropout, config.model.hidden_sizes) == (512, 0.5, [])
    small = SUPERVISED.make(
        *("experiment=paper-language-rmc", f"task.data={tmp_path / 'texts'}", "core.head_size=2", "model.cutoffs=[5]"),
        f"task.cache={tmp_path / 'cache'}",
    )
    task, model = build_all(small)
    batch = task.batch(2, torch.Generator().manual_seed(0))
    table, _ = model(batch.inputs, batch.reset, batch.num_answers)
    assert table.shape == (batch.num_answers, 2, task.num_classes)
