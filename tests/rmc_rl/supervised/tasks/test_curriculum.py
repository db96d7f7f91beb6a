from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from rmc_rl.supervised import make_task
from rmc_rl.supervised.tasks.curriculum import CURRICULA, STALL, Curriculum


def drawn(curriculum: Curriculum, stage: Any = "train") -> set[tuple[int, int]]:
    lengths, nestings = curriculum.draw(2000, torch.Generator().manual_seed(0), stage)
    return set(zip(lengths.tolist(), nestings.tolist(), strict=True))


def follow(curriculum: Curriculum, *losses: float) -> tuple[int, int]:
    for loss in losses:
        curriculum.follow(torch.tensor(loss))
    return curriculum.length, curriculum.nesting


ALL = {(length, nesting) for length in (1, 2, 3) for nesting in (1, 2)}


@pytest.mark.parametrize(
    ("name", "at_first"), [("baseline", {(3, 2)}), ("naive", {(1, 1)}), ("mix", ALL), ("combine", {(1, 1)})]
)
def test_what_is_drawn_at_first(name: str, at_first: set[tuple[int, int]]) -> None:
    assert drawn(Curriculum(name, 3, 2, 1)) == at_first


@pytest.mark.parametrize("name", CURRICULA)
def test_evaluation_is_of_the_greatest_difficulty(name: str) -> None:
    assert drawn(Curriculum(name, 3, 2, 1), "evaluation") == {(3, 2)}


def test_mix_is_uniform() -> None:
    lengths, nestings = Curriculum("mix", 3, 2, 1).draw(60_000, torch.Generator().manual_seed(0), "train")
    shares = torch.bincount(2 * (lengths - 1) + nestings - 1, minlength=6) / 60_000
    assert (shares - 1 / 6).abs().max() < 5 * math.sqrt(5 / 36 / 60_000)


@pytest.mark.parametrize("name", ["naive", "combine"])
def test_it_grows_where_the_loss_stalls(name: str) -> None:
    curriculum = Curriculum(name, 2, 3, 2)
    assert follow(curriculum, 3.0, 2.0) == (1, 1), "a first mean of 2.5 cannot have fallen"
    assert follow(curriculum, 2.4, 2.6 - 3 * STALL) == (1, 1), "it fell by more than that"
    assert follow(curriculum, 2.4, 2.6 - 4 * STALL) == (2, 1), "it fell by half of that"
    if name == "naive":
        assert drawn(curriculum) == {(2, 1)}
    else:
        assert drawn(curriculum) == {(1, 1), (2, 1)}
    assert follow(curriculum, 4.0, 4.0) == (2, 1), "the new level's losses are not compared with the old one's"
    assert follow(curriculum, 4.0, 4.0) == (2, 2), "length has reached its end: nesting grows"
    assert follow(curriculum, *[1.0] * 4) == (2, 3)
    assert follow(curriculum, *[1.0] * 40) == (2, 3), "there is nothing beyond"


@pytest.mark.parametrize("name", ["baseline", "mix"])
def test_the_others_stay(name: str) -> None:
    assert follow(Curriculum(name, 2, 3, 1), *[1.0] * 9) == (2, 3)


def test_a_task_resumes_where_it_was() -> None:
    options = {"program": "addition", "length": 4, "nesting": 2, "curriculum": "combine", "patience": 3}
    losses = [*torch.rand(7, generator=torch.Generator().manual_seed(0))] * 9
    straight, before, after = (make_task("programs", **options) for _ in range(3))
    levels = []
    for task in (straight, before):
        for loss in losses[:10]:
            task.follow(loss)
    assert all(type(value) in (int, float) for value in before.state_dict().values())
    after.load_state_dict(before.state_dict())
    for loss in losses[10:]:
        straight.follow(loss)
        after.follow(loss)
        assert after.state_dict() == straight.state_dict()
        levels.append(straight.state_dict()["length"])
    assert len(set(levels)) > 1, "it grew meanwhile"


def test_a_level_beyond_what_is_there_is_the_greatest() -> None:
    grown, smaller = Curriculum("naive", 5, 1, 1), Curriculum("naive", 3, 1, 1)
    follow(grown, *[1.0] * 20)
    smaller.load_state_dict(grown.state_dict())
    assert drawn(smaller) == {(3, 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random", 1, 1, 1), r"curriculum: 'random' given, one of \['baseline', 'naive', 'mix', 'combine'\] needed"),
        (("mix", 0, 1, 1), "length: 0 given, at least 1"),
        (("mix", 1, 0, 1), "nesting: 0 given, at least 1"),
        (("naive", 1, 1, 0), "patience: 0 given, at least 1"),
    ],
)
def test_bad_options(arguments: tuple[str, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curriculum(*arguments)
