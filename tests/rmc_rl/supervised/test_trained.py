from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rmc_rl.errors import UserError
from rmc_rl.supervised.trained import load
from rmc_rl.supervised.trainer import train

SMALL = (
    *("task=copy", "task.length=2", "core.mem_slots=2", "core.head_size=4", "core.num_heads=2", "total_steps=3"),
    *("model.hidden_sizes=[8]", "learner.batch_size=20", "learner.threads=1", "evaluation.sequences=700"),
    *("log.display=none", "log.tensorboard=false", "wandb=disabled"),
)


def test_a_trained_model_answers_as_it_was_judged(tmp_path: Path) -> None:
    result = train([*SMALL, f"runs_dir={tmp_path}"])
    trained = load("latest", runs_dir=str(tmp_path))
    assert (trained.run, trained.steps) == (result.run, 3)
    assert trained.task.question(trained.task.batch(1, torch.Generator()), 0)
    batches = list(trained.answers(700, seed=3))
    assert [answers.shape[1] for _, answers in batches] == [512, 188]
    right = sum(int(((answers == batch.targets) & batch.mask).sum()) for batch, answers in batches)
    counted = sum(int(batch.mask.sum()) for batch, _ in batches)
    assert right / counted == pytest.approx(result.test["accuracy"], abs=0.1), "other sequences of the same kind"
    again = list(trained.answers(700, seed=3))
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(batches, again, strict=True))


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = train([*SMALL, f"runs_dir={tmp_path}"])
    with pytest.raises(UserError, match="has no checkpoint 'first'; it has: latest, best, step-000000000003"):
        load(result.run, "first")
