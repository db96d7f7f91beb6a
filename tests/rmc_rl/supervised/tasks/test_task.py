from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rmc_rl.supervised import Batch, Task, make_task, register_task, task_names
from rmc_rl.supervised.tasks import NOTHING
from rmc_rl.supervised.tasks.task import tasks

EXAMPLES: dict[str, dict[str, Any]] = {
    "language_modelling": {"window": 9, "tokenize": "words"},
    "memorization": {"kind": "double", "length": 4},
    "nth_farthest": {"num_vectors": 5, "dimensions": 3},
    "programs": {"program": "full", "length": 3, "nesting": 3},
}
"""Options of each task of the package."""


def leaves(batch: Batch) -> list[Tensor]:
    return [batch.inputs, batch.reset, batch.targets, batch.mask, *batch.details.values()]


def test_every_task_has_an_example() -> None:
    assert sorted(EXAMPLES) == task_names()


@pytest.mark.parametrize("stage", ["train", "evaluation"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_batch_is_what_the_contract_says(name: str, stage: Any) -> None:
    task = make_task(name, **EXAMPLES[name])
    batch = task.batch(7, torch.Generator().manual_seed(0), stage)
    rows, answers = len(batch.inputs), batch.num_answers
    assert 1 <= answers <= rows
    assert batch.reset.shape == (rows, 7)
    assert batch.reset.dtype == torch.bool
    assert batch.reset.sum(dim=0).tolist() == [1] * 7, "each sequence begins once"
    assert batch.targets.shape == batch.mask.shape == (answers, 7)
    assert (batch.targets.dtype, batch.mask.dtype) == (torch.int64, torch.bool)
    assert batch.mask.any(dim=0).all(), "each sequence has an answer"
    assert 0 <= batch.targets.min() <= batch.targets.max() < task.num_classes
    assert all(len(detail) == 7 for detail in batch.details.values())
    if task.symbols:
        assert batch.inputs.shape == (rows, 7)
        assert NOTHING <= batch.inputs.min() <= batch.inputs.max() < task.input_size
    else:
        assert batch.inputs.shape == (rows, 7, task.input_size)
        assert batch.inputs.dtype == torch.float32
    if task.decodes:
        assert (batch.inputs[-answers:] == NOTHING).all()
        assert (batch.inputs[:-answers] != NOTHING).all()
    assert task.question(batch, 6)
    assert task.answer(batch.targets[:, 6], batch.mask[:, 6])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_batch_is_a_function_of_the_generator(name: str) -> None:
    task = make_task(name, **EXAMPLES[name])
    first, again, other = torch.Generator(), torch.Generator(), torch.Generator()
    for generator, seed in ((first, 3), (again, 3), (other, 4)):
        generator.manual_seed(seed)
    torch.manual_seed(0)
    one = task.batch(20, first)
    two = task.batch(20, first)
    torch.manual_seed(1)
    for batch in (one, two):
        for leaf, same in zip(leaves(batch), leaves(task.batch(20, again)), strict=True):
            assert torch.equal(leaf, same)
    assert not torch.equal(one.inputs, two.inputs)
    assert not torch.equal(one.inputs, task.batch(20, other).inputs)


@pytest.mark.parametrize("name", EXAMPLES)
def test_bad_batches(name: str) -> None:
    task = make_task(name, **EXAMPLES[name])
    with pytest.raises(ValueError, match="size: 0 given, at least 1 needed"):
        task.batch(0, torch.Generator())
    with pytest.raises(ValueError, match="stage: 'test' given, 'train' or 'evaluation' needed"):
        task.batch(1, torch.Generator(), "test")  # type: ignore[arg-type]


def test_bad_names_and_options() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'nth_fartest'.*did you mean 'nth_farthest'"):
        make_task("nth_fartest")
    with pytest.raises(ValueError, match=r"task 'nth_farthest' has no option 'vectors'.*num_vectors"):
        make_task("nth_farthest", vectors=8)
    with pytest.raises(ValueError, match=r"task 'programs': options missing:.*program"):
        make_task("programs")
    with pytest.raises(TypeError, match=r"option 'length'.*int needed"):
        make_task("programs", program="addition", length=2.5)


def test_a_task_of_ones_own() -> None:
    @register_task("parity")
    class Parity(Task):
        def __init__(self, *, length: int = 3) -> None:
            self.input_size, self.num_classes, self.length = 1, 2, length

        def batch(self, size: int, generator: torch.Generator, stage: Any = "train") -> Batch:
            bits = torch.randint(2, (self.length, size, 1), generator=generator).float()
            reset = torch.zeros(self.length, size, dtype=torch.bool)
            reset[0] = True
            targets = bits.sum(dim=(0, 2)).long().unsqueeze(0) % 2
            return Batch(bits, reset, targets, torch.ones_like(targets, dtype=torch.bool))

        def question(self, batch: Batch, item: int) -> str:
            return str(batch.inputs[:, item])

        def answer(self, classes: Tensor, mask: Tensor) -> str:
            return str(int(classes))

    try:
        task = make_task("parity", length=4)
        assert len(task.batch(2, torch.Generator()).inputs) == 4
        task.follow(torch.tensor(1.0))
        assert task.state_dict() == {}
    finally:
        del tasks._classes["parity"]
