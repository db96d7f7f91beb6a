from __future__ import annotations

import pytest
import torch

from rmc_rl.supervised import make_task
from rmc_rl.supervised.tasks.memorization import KINDS, Memorization

RESULTS = {"copy": lambda text: text, "reverse": lambda text: text[::-1], "double": lambda text: text + text}


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        ("copy", "95664", "95664"),
        ("reverse", "95664", "46659"),
        ("double", "89738", "8973889738"),
        ("reverse", "60", "06"),
    ],
)
def test_the_papers_examples(kind: str, number: str, expected: str) -> None:
    task = Memorization(kind=kind, length=5)
    digits = torch.tensor([[*map(int, number.ljust(5, "7"))]])
    batch = task.pose(digits, torch.tensor([len(number)]))
    assert task.question(batch, 0) == number
    assert task.answer(batch.targets[:, 0], batch.mask[:, 0]) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["train", "evaluation"])
def test_every_answer(kind: str, stage: str) -> None:
    task = make_task("memorization", kind=kind, length=6)
    batch = task.batch(300, torch.Generator().manual_seed(0), stage)  # type: ignore[arg-type]
    assert len(batch.inputs) == 6 + (12 if kind == "double" else 6)
    for item in range(300):
        number = task.question(batch, item)
        assert number.isdecimal()
        assert number[0] != "0"
        assert len(number) == batch.details["length"][item]
        assert task.answer(batch.targets[:, item], batch.mask[:, item]) == RESULTS[kind](number)
    lengths = set(batch.details["length"].tolist())
    assert lengths == ({1, 2, 3, 4, 5, 6} if stage == "train" else {6})


def test_bad_options() -> None:
    with pytest.raises(ValueError, match=r"kind: 'sort' given, one of .*'copy', 'reverse', 'double'.* needed"):
        Memorization(kind="sort")
    with pytest.raises(ValueError, match="length: 0 given, at least 1 needed"):
        Memorization(kind="copy", length=0)
    with pytest.raises(ValueError, match="curriculum: 'hard' given"):
        Memorization(kind="copy", curriculum="hard")
