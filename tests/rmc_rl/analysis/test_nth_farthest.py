"""Models whose answers are known: what the tables must say follows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rmc_rl.analysis import analysis_of
from rmc_rl.analysis.nth_farthest import Answered, baselines
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest, trivial_accuracies
from tests.rmc_rl.analysis.oracles import Answers, follow, knows_all, names_reference, off_by_one, trained

COUNT = 5
SEQUENCES = 1500
WORDS = (f"task.num_vectors={COUNT}", "task.dimensions=3", "core=lstm")


def analysed(answers: Answers, sequences: int = SEQUENCES, seed: int = 0) -> dict[str, Any]:
    asked = trained(answers, *WORDS)
    return analysis_of(asked.task)(asked, sequences, seed, follow).numbers


def shares(groups: list[dict[str, Any]]) -> list[float]:
    return [group["share"] for group in groups]


def test_who_knows_all_is_right_everywhere() -> None:
    numbers = analysed(knows_all(COUNT))
    for key, groups in {"overall": 1, "by_n": COUNT, "by_place": COUNT, "by_gap": 5}.items():
        assert shares(numbers[key]) == [1.0] * groups
    assert [sum(row) for row in numbers["named"]] == [row[n] for n, row in enumerate(numbers["named"])]
    assert [[cell["share"] for cell in row] for row in numbers["by_places"]] == [[1.0] * COUNT] * COUNT
    for key in ("overall", "by_n", "by_place"):
        assert sum(group["count"] for group in numbers[key]) == SEQUENCES
    gaps = [group["count"] for group in numbers["by_gap"]]
    assert sum(gaps) == SEQUENCES - numbers["by_n"][-1]["count"], "questions that ask for m have no gap to speak of"
    assert max(gaps) - min(gaps) <= 1


def test_who_always_names_the_reference_is_right_where_it_is_asked_for() -> None:
    numbers = analysed(names_reference(COUNT))
    assert shares(numbers["by_n"]) == [0.0] * (COUNT - 1) + [1.0]
    assert shares(numbers["overall"]) == [pytest.approx(1 / COUNT, abs=0.04)]
    assert shares(numbers["by_gap"]) == [0.0] * 5
    for place, row in enumerate(numbers["by_places"]):
        assert [cell["share"] for cell in row] == [1.0 if other == place else 0.0 for other in range(COUNT)]
    for row in numbers["named"]:
        assert row[:-1] == [0] * (COUNT - 1), "of whatever rank is asked, the nearest is named"


def test_fewer_vectors_are_asked_about_too() -> None:
    numbers = analysed(knows_all(COUNT))["by_number"]
    assert [group["group"] for group in numbers] == ["2", "3", "4", "5"]
    assert [(group["share"], group["count"]) for group in numbers] == [(1.0, SEQUENCES)] * 4
    numbers = analysed(names_reference(COUNT))["by_number"]
    for shown, group in enumerate(numbers, 2):
        assert group["share"] == pytest.approx(1 / shown, abs=0.05)
        assert group["baselines"]["chance"] == 1 / shown
        assert group["baselines"]["reference"] == pytest.approx(2 / shown, abs=0.05)


def test_who_names_a_vector_that_was_not_shown_is_wrong() -> None:
    def always_the_last(inputs: Tensor, reset: Tensor, num_answers: int) -> Tensor:
        return torch.full((1, inputs.shape[1]), COUNT - 1)

    assert shares(analysed(always_the_last)["by_number"]) == [0.0] * 3 + [pytest.approx(1 / COUNT, abs=0.04)]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ((), "training showed always 5 vectors: fewer are new to the model"),
        (("task.min_vectors=4",), "training showed 4 to 5 vectors: fewer are new to the model"),
        (("task.min_vectors=2",), "training showed 2 to 5 vectors"),
    ],
)
def test_it_is_said_which_numbers_of_vectors_training_showed(words: tuple[str, ...], note: str) -> None:
    asked = trained(knows_all(COUNT), *WORDS, *words)
    (table,) = (
        table for table in analysis_of(asked.task)(asked, 20, 0, follow).tables if "number of vectors" in table.title
    )
    assert table.note == note


def test_who_is_off_by_one_names_the_next_rank() -> None:
    named = analysed(off_by_one(COUNT))["named"]
    for n, row in enumerate(named):
        assert row[min(n + 1, COUNT - 1)] == sum(row) > 0


def test_trivial_accuracies_stand_beside_each_share() -> None:
    numbers = analysed(knows_all(COUNT), 6000)
    (overall,) = numbers["overall"]
    expected = trivial_accuracies(NthFarthest(num_vectors=COUNT, dimensions=3), torch.Generator().manual_seed(1))
    assert overall["baselines"] == pytest.approx(expected, abs=0.03)
    for n, group in enumerate(numbers["by_n"]):
        last = n == COUNT - 1
        assert group["baselines"]["chance"] == 1 / COUNT
        assert group["baselines"]["reference"] == pytest.approx(1.0 if last else 1 / (COUNT - 1))
        assert (group["baselines"]["norm"] == 1.0) == last
    weighted = sum(group["count"] * group["baselines"]["norm"] for group in numbers["by_n"]) / 6000
    assert weighted == pytest.approx(overall["baselines"]["norm"])


def test_an_example_by_hand() -> None:
    """On a line at 0.5, -1, 0.9, with labels 2, 3, 1; from 0.5 it is 0.4 to vector 1 and 1.5 to vector 3."""
    task = NthFarthest(num_vectors=3, dimensions=1)
    vectors = torch.tensor([[[0.5], [-1.0], [0.9]]]).expand(3, -1, -1)
    batch = task.pose(vectors, torch.tensor([[1, 2, 0]]).expand(3, -1), torch.tensor([0, 1, 2]), torch.tensor([1] * 3))
    found = Answered.of(batch, torch.tensor([[2, 2, 0]]))
    assert found.place.tolist() == [0, 0, 0]
    assert found.target_place.tolist() == [1, 2, 0]
    assert found.rank.tolist() == [0, 0, 1]
    assert found.right.tolist() == [True, False, False]
    assert found.norm_rank.tolist() == [0, 1, 2], "by length 3 is before 1, m itself is last"
    torch.testing.assert_close(found.gap, torch.tensor([1.1, 0.4, 0.4]))


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    once, again, other = (analysed(off_by_one(COUNT), 200, seed) for seed in (3, 3, 4))
    assert once == again
    assert once["named"] != other["named"]


@pytest.mark.parametrize("sequences", [1, 3])
def test_very_few_questions_leave_gaps_in_the_tables(sequences: int) -> None:
    asked = trained(knows_all(COUNT), *WORDS)
    found = analysis_of(asked.task)(asked, sequences, 0, follow)
    assert sum(group["count"] for group in found.numbers["by_n"]) == sequences
    empty = [row for table in found.tables for row in table.rows if row[-1] == "0"]
    assert empty
    assert all(row[1:3] == ("–", "") for row in empty)  # noqa: RUF001


def test_one_question_of_each_kind_is_enough() -> None:
    """Among them one that asks for m itself, so that there is no gap at all."""
    asked = [analysed(knows_all(COUNT), 1, seed) for seed in range(12)]
    assert {sum(group["count"] for group in numbers["by_gap"]) for numbers in asked} == {0, 1}


def test_of_two_vectors_there_is_nothing_to_compare() -> None:
    asked = trained(knows_all(2), "task.num_vectors=2", "task.dimensions=2", "core=lstm")
    numbers = analysis_of(asked.task)(asked, 100, 0, follow).numbers
    assert shares(numbers["by_n"]) == [1.0, 1.0]
    assert numbers["overall"][0]["baselines"]["norm"] == 1.0


def test_a_core_without_attention_gets_all_but_its_pictures() -> None:
    asked = trained(knows_all(COUNT), *WORDS)
    found = analysis_of(asked.task)(asked, 50, 0, follow)
    assert found.notes == ["core=lstm does not attend to rows of a memory: there are no pictures of attention"]
    assert set(found.pictures) == {"accuracy.png", "errors.png"}
    assert "attention" not in found.numbers


def test_examples_tell_the_distances() -> None:
    asked = trained(names_reference(COUNT), *WORDS)
    found = analysis_of(asked.task)(asked, 300, 0, follow).examples
    assert [example.right for example in found] == [True] * 3 + [False] * 3
    for example in found:
        ranked = [word.split(" (") for word in example.more.removeprefix("by distance: ").rstrip(")").split("), ")]
        distances = [float(distance) for _, distance in ranked]
        assert distances == sorted(distances, reverse=True)
        assert ranked[-1] == [example.answer, "0.00"], "the reference"


def test_the_baselines_of_the_papers_size() -> None:
    """24.9 % and 30.4 % by the reference measurement: the plateau and the ceiling of the baselines of the paper."""
    found = baselines(NthFarthest(num_vectors=8, dimensions=16), 40_000, 0)
    assert found.numbers["baselines"]["reference"] == 0.25
    assert found.numbers["baselines"]["norm"] == pytest.approx(0.304, abs=0.007)
    assert [row[0] for row in found.tables[0].rows] == ["chance", "reference", "norm"]
    assert found.tables[0].rows[1][-1] == "25.0 %"
