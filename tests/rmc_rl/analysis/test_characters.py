"""Models whose answers are known: what the tables must say follows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from rmc_rl.analysis import Analysis, analysis_of
from rmc_rl.analysis.characters import at_level
from rmc_rl.supervised.tasks.characters import NUMBERS, PAD, SYMBOLS, CharacterTask
from rmc_rl.supervised.tasks.task import NOTHING
from rmc_rl.supervised.trained import Trained
from tests.rmc_rl.analysis.oracles import Answers, follow, trained

PROGRAMS = ("task=full-program", "task.length=3", "task.nesting=2")


def reads(answer: Callable[[str], str]) -> Answers:
    """A model that answers a question's text with a text."""

    def answers(inputs: Tensor, reset: Tensor, num_answers: int) -> Tensor:
        given = torch.full((num_answers, inputs.shape[1]), PAD)
        for item, column in enumerate(inputs.t().tolist()):
            begin = reset[:, item].tolist().index(True)
            text = "".join(SYMBOLS[symbol] for symbol in column[begin:] if symbol != NOTHING)
            for place, character in enumerate(answer(text)[:num_answers]):
                given[place, item] = NUMBERS[character]
        return given

    return answers


def computed(program: str) -> str:
    """The result by Python, modulo 10 to the length of the literals and one more."""
    digits = max(len(run) for run in "".join(c if c.isdigit() else " " for c in program).split())

    def value(text: str) -> int:
        if text.isdigit():
            return int(text)
        depth, cuts = 0, []
        for place, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if depth == 0:
                cuts.append(place)
        if text.startswith("(") and cuts[0] == len(text) - 1:
            return value(text[1:-1])
        if text.startswith("x="):
            start = text[2:]
            head, tail = (start[: cuts[2] - 1], start[cuts[2] - 1 :]) if start.startswith("(") else ("", start)
            first, _, rest = tail.partition("for[")
            times, _, step = rest.partition("]x+=")
            return (value(head + first) + int(times) * int(step)) % 10 ** (digits + 1)
        end = cuts[0] + 1 if text.startswith("(") else len(text) - len(text.lstrip("0123456789"))
        first, rest = text[:end], text[end:]
        if rest.startswith("if"):
            condition, _, other = rest[2:].partition("else")
            sign = ">" if ">" in condition else "<"
            left, right = map(int, condition.split(sign))
            holds = left > right if sign == ">" else left < right
            return value(first) if holds else int(other)
        left, right = value(first), int(rest[1:])
        return {"+": left + right, "-": left - right, "*": left * right}[rest[0]] % 10 ** (digits + 1)

    return str(value(program) % 10 ** (digits + 1))


def analysed(model: Trained, sequences: int = 60, seed: int = 0) -> Analysis:
    return analysis_of(model.task)(model, sequences, seed, follow)


def test_a_level_is_asked_for_alone_and_the_trained_task_stays() -> None:
    task = trained(reads(str), *PROGRAMS).task
    assert isinstance(task, CharacterTask)
    before = (task.curriculum, dict(vars(task.curriculum)))
    for level in ((1, 1), (2, 1), (1, 3), (2, 3)):
        batch = at_level(task, level).batch(50, torch.Generator().manual_seed(0), "evaluation")
        assert batch.details["nesting"].tolist() == [level[0]] * 50
        assert batch.details["length"].tolist() == [level[1]] * 50
        assert len(batch.inputs) == len(task.batch(50, torch.Generator(), "evaluation").inputs), "of the same widths"
    assert (task.curriculum, vars(task.curriculum)) == before
    assert task.batch(5, torch.Generator(), "evaluation").details["length"].tolist() == [3] * 5


@pytest.mark.parametrize("kind", ["copy", "reverse", "double"])
def test_who_knows_all_is_right_at_every_length(kind: str) -> None:
    answer: dict[str, Callable[[str], str]] = {"copy": str, "reverse": lambda t: t[::-1], "double": lambda t: 2 * t}
    found = analysed(trained(reads(answer[kind]), f"task={kind}", "task.length=4"))
    assert [(level["nesting"], level["length"]) for level in found.numbers["levels"]] == [(1, n) for n in (1, 2, 3, 4)]
    for level in found.numbers["levels"]:
        characters = level["length"] * (2 if kind == "double" else 1)
        assert (level["answers"]["share"], level["solved"]["share"]) == (1.0, 1.0)
        assert (level["answers"]["count"], level["solved"]["count"]) == (60 * characters, 60)
        assert [place["count"] for place in level["places"]][:characters] == [60] * characters
        assert {place["count"] for place in level["places"][characters:]} <= {0}
    assert all(example.right and example.answer == answer[kind](example.question) for example in found.examples)
    assert {example.where for example in found.examples} == {"length 1", "length 4"}


def test_errors_are_found_where_they_are_made() -> None:
    """Long numbers lose their last digit: a 0 that is a 0 one time in ten stays right."""
    found = analysed(trained(reads(lambda text: text if len(text) < 3 else f"{text[:-1]}0"), "task=copy"), 400)
    by_length = {level["length"]: level for level in found.numbers["levels"]}
    assert [by_length[length]["solved"]["share"] for length in (1, 2)] == [1.0, 1.0]
    for length in (3, 4, 5):
        solved = by_length[length]["solved"]["share"]
        assert solved == pytest.approx(0.1, abs=0.06)
        assert by_length[length]["answers"]["share"] == pytest.approx((length - 1 + solved) / length)
        shares = [place["share"] for place in by_length[length]["places"][:length]]
        assert shares == [1.0] * (length - 1) + [solved]
        low, high = by_length[length]["answers"]["low"], by_length[length]["answers"]["high"]
        assert low < by_length[length]["answers"]["share"] < high
    hard = [example for example in found.examples if example.where == "length 5"]
    assert [example.right for example in hard] == [True] * 3 + [False] * 3
    assert all(example.answer == f"{example.target[:-1]}0" for example in hard)


def test_programs_have_levels_of_both_kinds() -> None:
    found = analysed(trained(reads(computed), *PROGRAMS), 80)
    levels = found.numbers["levels"]
    assert [(level["nesting"], level["length"]) for level in levels] == [(n, k) for n in (1, 2) for k in (1, 2, 3)]
    assert {level["solved"]["share"] for level in levels} == {1.0}
    assert {example.where for example in found.examples} == {"length 1, nesting 1", "length 3, nesting 2"}
    assert [axes.get_title(loc="left") for axes in found.pictures["accuracy.png"].axes] == [
        *("Characters right, in %", "Answers wholly right, in %", "Always the likeliest character of the place"),
    ]


def test_a_heat_map_shows_the_levels() -> None:
    def single(text: str) -> str:
        return computed(text) if "(" not in text else ""

    found = analysed(trained(reads(single), *PROGRAMS), 30)
    axes = found.pictures["accuracy.png"].axes[1]
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), [[1, 1, 1], [0, 0, 0]])
    assert [text.get_text() for text in axes.texts] == ["100"] * 3 + ["0"] * 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    vague = trained(reads(lambda text: str(int(text) // 3 * 3)), "task=copy")
    once, again, other = (analysed(vague, seed=seed) for seed in (3, 3, 4))
    assert once.numbers == again.numbers
    assert once.examples == again.examples
    assert once.numbers != other.numbers


def test_what_training_did_not_ask_is_told() -> None:
    only = analysed(trained(reads(str), "task=copy", "task.curriculum=baseline"))
    assert only.notes == [
        "training asked nothing but length 5 (task.curriculum=baseline): easier questions are new to the model"
    ]
    assert analysed(trained(reads(str), "task=copy")).notes == []


def test_the_table_names_levels_and_the_constant_answer() -> None:
    found = analysed(trained(reads(str), "task=copy", "task.length=2"), 500)
    by_length, by_place = found.tables
    assert by_length.columns[:2] == ("length", "characters right")
    assert [row[0] for row in by_length.rows] == ["1", "2"]
    constant = float(by_length.rows[0][3].split()[0])
    assert 11 < constant < 16, "one of nine digits, and the luck of the likeliest"
    assert [row[0] for row in by_place.rows] == ["1", "2"]
