from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rmc_rl.analysis import Analysis, analysis_of, any_task, characters, nth_farthest, register_analysis
from rmc_rl.analysis import analysis as contract
from rmc_rl.analysis.analysis import Examples, Follow, counting
from rmc_rl.supervised.tasks import Batch, Task, make_task
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.tasks.task import Stage
from rmc_rl.supervised.trained import AT_ONCE, Trained
from tests.rmc_rl.analysis.oracles import follow, knows_all, trained


class Parity(Task):
    """Is the number odd?"""

    input_size, num_classes = 1, 2

    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        numbers = torch.randint(10, (1, size), generator=generator)
        reset = torch.ones(1, size, dtype=torch.bool)
        return Batch(numbers[..., None].float(), reset, numbers % 2, reset)

    def question(self, batch: Batch, item: int) -> str:
        return f"is {int(batch.inputs[0, item])} odd?"

    def answer(self, classes: Tensor, mask: Tensor) -> str:
        return "yes" if classes[0] else "no"


@pytest.fixture
def _register() -> Iterator[None]:
    """What a test registers is gone after it."""
    known = dict(contract._ANALYSES)
    yield
    contract._ANALYSES.clear()
    contract._ANALYSES.update(known)


def test_each_kind_of_task_has_its_analysis() -> None:
    assert analysis_of(make_task("nth_farthest")) is nth_farthest.analyse
    for name, options in (("memorization", {"kind": "copy"}), ("programs", {"program": "full"})):
        assert analysis_of(make_task(name, **options)) is characters.analyse
    assert analysis_of(Parity()) is any_task.analyse


@pytest.mark.usefixtures("_register")
def test_the_nearest_type_decides() -> None:
    class Farther(NthFarthest):
        pass

    class Farthest(Farther):
        pass

    @register_analysis(Farther)
    def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis:
        return Analysis({}, [])

    assert analysis_of(Farthest()) is analyse
    assert analysis_of(NthFarthest()) is nth_farthest.analyse


def test_a_task_that_nothing_is_known_of_gets_scores_and_examples() -> None:
    """A model that says of every number that it is odd."""
    always = trained(lambda inputs, reset, num_answers: torch.ones(1, inputs.shape[1], dtype=torch.int64))
    guessing = Trained(Parity(), always.model, always.config, always.run, 1)
    guessing.model.classes = 2  # type: ignore[assignment]
    found = analysis_of(guessing.task)(guessing, 2000, 0, follow)
    assert found.numbers["answers"]["share"] == pytest.approx(0.5, abs=0.05)
    assert found.numbers["answers"] == found.numbers["solved"]
    assert found.numbers["constant"] >= found.numbers["answers"]["share"]
    assert [example.right for example in found.examples] == [True] * 3 + [False] * 3
    for example in found.examples:
        odd = int(example.question.split()[1]) % 2 == 1
        assert (example.target, example.answer, example.right) == ("yes" if odd else "no", "yes", odd)
    assert not found.pictures
    assert "no analysis of its own" in found.notes[0]
    assert found == analysis_of(guessing.task)(guessing, 2000, 0, follow)


def test_all_sequences_are_asked_once_and_the_seed_draws_them() -> None:
    knowing = trained(knows_all(4))
    drawn = [list(knowing.asked(knowing.task, AT_ONCE + 3, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)]
    assert [batch.targets.shape[1] for batch, _ in drawn[0]] == [AT_ONCE, 3]
    assert drawn[0][0][1].shape == (1, AT_ONCE, 4)
    assert torch.equal(drawn[0][0][0].inputs, drawn[1][0][0].inputs)
    assert not torch.equal(drawn[0][0][0].inputs, drawn[2][0][0].inputs)


def test_how_many_have_been_asked_is_added_up() -> None:
    told: list[tuple[int, int]] = []
    count = counting(lambda done, total: told.append((done, total)), 9)
    for more in (4, 3, 2):
        count(more)
    assert told == [(4, 9), (7, 9), (9, 9)]


def test_examples_are_the_first_of_both_kinds() -> None:
    task = Parity()
    examples = Examples()
    for wrong_from in (40, 30, 0):  # three batches: no wrong answer, ten, nothing but
        batch = task.batch(40, torch.Generator().manual_seed(0))
        answers = batch.targets.clone()
        answers[0, wrong_from:] = 1 - answers[0, wrong_from:]
        examples.add(task, batch, answers, "here", str)
    examples.add(task, batch, answers, "there")
    assert [(example.more, example.right, example.where) for example in examples.found] == [
        *((str(item), True, "here") for item in (0, 1, 2)),
        *((str(item), False, "here") for item in (30, 31, 32)),
        *(("", False, "there") for _ in range(3)),
    ]
    assert all((example.answer == example.target) == example.right for example in examples.found)
