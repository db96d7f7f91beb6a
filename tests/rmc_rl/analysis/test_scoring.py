from __future__ import annotations

import math

import pytest
import torch

from rmc_rl.analysis.scoring import Tally, score_row
from rmc_rl.supervised.tasks import Batch


def batch_of(targets: list[list[int]], mask: list[list[int]]) -> Batch:
    """One whose inputs nobody reads; lists are ``[A][B]``."""
    return Batch(torch.zeros(0), torch.zeros(0), torch.tensor(targets), torch.tensor(mask).bool())


def logits_of(answers: list[list[int]], scale: float = 1.0) -> torch.Tensor:
    return scale * torch.nn.functional.one_hot(torch.tensor(answers), 3).float()


def test_a_tally_by_hand() -> None:
    """Three sequences in two batches; the last has two answers more."""
    tally = Tally()
    tally.add(batch_of([[0, 1]], [[1, 1]]), logits_of([[0, 2]]))
    tally.add(batch_of([[0], [2], [2]], [[1], [1], [0]]), logits_of([[0], [2], [0]]))
    assert (tally.answers.right, tally.answers.count) == (3, 4)
    assert (tally.solved.right, tally.solved.count) == (2, 3), "what does not count is not wrong"
    assert [(share.right, share.count) for share in tally.places] == [(2, 3), (1, 1), (0, 0)]
    assert tally.constant == pytest.approx((2 + 1) / 4), "0 at the first place, 2 at the second"
    right, wrong = math.log(math.e + 2) - 1, math.log(math.e + 2)
    assert tally.loss == pytest.approx((3 * right + wrong) / 4)
    columns, row = score_row(tally)
    assert dict(zip(columns, row, strict=False))["answers right"] == "75.0 %"
    assert row[-2:] == ("3", f"{tally.loss:.3f}")


def test_sequences_without_an_answer_are_not_solved() -> None:
    tally = Tally()
    tally.add(batch_of([[0, 1]], [[0, 1]]), logits_of([[0, 1]]))
    assert (tally.solved.right, tally.solved.count) == (1, 1)
    assert tally.as_json()["answers"]["count"] == 1
