"""Programs, each evaluated by Python itself from the text that a model reads."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from rmc_rl.supervised import make_task
from rmc_rl.supervised.tasks.programs import OPERATIONS, PROGRAMS, Parts, Programs

LINE = re.compile(
    r"(?P<first>-?\d+)(?:(?P<add>\+)\d+|(?P<subtract>-)\d+|(?P<multiply>\*)\d+|(?P<if>if)\d+[<>]\d+else\d+)"
    r"|x=-?\d+(?P<for>for)\[[1-9]\]x\+=\d+"
)
"""One operation; its first operand may be the value of what stood in parentheses."""


def execute(line: str, seen: list[str]) -> int:
    match = LINE.fullmatch(line)
    assert match is not None, line
    seen.append(next(name for name in OPERATIONS if match[name]))
    loop = re.fullmatch(r"x=(.*)for\[(\d)\]x\+=(.*)", line)
    if loop:
        source = f"x = {loop[1]}\nfor _ in range({loop[2]}): x += {loop[3]}"
    else:
        source = "x = " + line.replace("if", " if ").replace("else", " else ")
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["x"]


def evaluate(program: str) -> tuple[int, list[str]]:
    """Its value without any modulus, and its operations, the innermost first."""
    seen: list[str] = []
    while "(" in program:
        program = re.sub(r"\(([^()]*)\)", lambda match: str(execute(match[1], seen)), program, count=1)
    return execute(program, seen), seen


PAPER = [
    ("(53830+30981)+39241", 124052),
    ("x=(x=22010for[7]x+=88156)for[4]x+=85451", 980906),
    ("(x=34100for[3]x+=34823)if90317>96069else44086", 44086),
    ("(88892*29262)-22945", 134759),
]


@pytest.mark.parametrize(("program", "result"), PAPER)
def test_the_evaluator_on_the_papers_programs(program: str, result: int) -> None:
    assert evaluate(program)[0] % 10**6 == result


def digits(*numbers: int) -> list[list[int]]:
    return [[*map(int, str(number))] for number in numbers]


@pytest.mark.parametrize(
    ("program", "result", "first", "levels"),
    [
        (*PAPER[0], 53830, [("add", 30981, 1, 1, 1, False), ("add", 39241, 1, 1, 1, False)]),
        (*PAPER[1], 22010, [("for", 88156, 1, 1, 7, True), ("for", 85451, 1, 1, 4, True)]),
        (*PAPER[2], 34100, [("for", 34823, 1, 1, 3, True), ("if", 90317, 96069, 44086, 1, True)]),
        (*PAPER[3], 88892, [("multiply", 29262, 1, 1, 1, False), ("subtract", 22945, 1, 1, 1, False)]),
        ("10000if50000<50000else77777", 77777, 10000, [("if", 50000, 50000, 77777, 1, False)]),
        ("10000if50000>50000else77777", 77777, 10000, [("if", 50000, 50000, 77777, 1, True)]),
        ("10000if49999<50000else77777", 10000, 10000, [("if", 49999, 50000, 77777, 1, False)]),
        (
            "(10000-99999)-10001",
            900000,
            10000,
            [("subtract", 99999, 1, 1, 1, False), ("subtract", 10001, 1, 1, 1, False)],
        ),
        ("99999-99999", 0, 99999, [("subtract", 99999, 1, 1, 1, False)]),
    ],
)
def test_programs_made_of_given_parts(program: str, result: int, first: int, levels: list[Any]) -> None:
    """The paper's own, and those of which it is easy to be wrong: equal numbers compared, negative results, zero."""
    task = Programs(program="full", length=5, nesting=2)
    nesting = len(levels)
    levels = (levels * 2)[:2]  # of a level that is not used the parts are there all the same
    batch = task.pose(
        Parts(
            lengths=torch.tensor([5]),
            nestings=torch.tensor([nesting]),
            first=torch.tensor(digits(first)),
            others=torch.tensor([[digits(*(n if n > 1 else 11111 for n in level[1:4])) for level in levels]]),
            operations=torch.tensor([[task.operations.index(level[0]) for level in levels]]),
            counts=torch.tensor([[level[4] for level in levels]]),
            greater=torch.tensor([[level[5] for level in levels]]),
        )
    )
    assert task.question(batch, 0) == program
    assert task.answer(batch.targets[:, 0], batch.mask[:, 0]) == str(result)


@pytest.mark.parametrize("stage", ["train", "evaluation"])
@pytest.mark.parametrize(
    ("program", "length", "nesting"),
    [
        *((program, 5, 2) for program in PROGRAMS),
        *((program, 6, 3) for program in PROGRAMS),
        ("full", 1, 1),
        ("full", 8, 4),
        ("control", 17, 3),
    ],
)
def test_every_program(program: str, length: int, nesting: int, stage: Any) -> None:
    task = make_task("programs", program=program, length=length, nesting=nesting)
    batch = task.batch(300, torch.Generator().manual_seed(0), stage)
    levels = set()
    operations: list[str] = []
    for item in range(300):
        question = task.question(batch, item)
        value, seen = evaluate(question)
        operations += seen
        digits_of, depth = int(batch.details["length"][item]), int(batch.details["nesting"][item])
        levels.add((digits_of, depth))
        expected = str(value % 10 ** (digits_of + 1))
        assert task.answer(batch.targets[:, item], batch.mask[:, item]) == expected, question
        assert len(seen) == depth
        assert question.count("(") == question.count(")") == depth - 1
        literals = re.findall(r"\d+", re.sub(r"\[\d\]", "", question))
        assert {len(literal) for literal in literals} == {digits_of}
        assert not any(literal.startswith("0") for literal in literals)
    assert set(operations) == set(PROGRAMS[program])
    everything = {(digits_of, depth) for digits_of in range(1, length + 1) for depth in range(1, nesting + 1)}
    assert levels == (everything if stage == "train" else {(length, nesting)})


@pytest.mark.parametrize(("length", "nesting", "rows"), [(5, 2, 57), (6, 3, 94)])
def test_rows(length: int, nesting: int, rows: int) -> None:
    """The longest text fills the encoder's rows, which are not more than the released generator's."""
    task = Programs(program="full", length=length, nesting=nesting)
    batch = task.batch(3000, torch.Generator().manual_seed(0), "evaluation")
    assert len(batch.inputs) == task.width + length + 1
    assert task.width <= rows
    assert max(len(task.question(batch, item)) for item in range(3000)) == task.width


def test_draws_are_uniform() -> None:
    task = Programs(program="full", length=2, nesting=1, curriculum="baseline")
    batch = task.batch(20_000, torch.Generator().manual_seed(0))
    questions = [task.question(batch, item) for item in range(20_000)]
    shares = dict.fromkeys(OPERATIONS, 0)
    counts = [0] * 10
    signs = {"<": 0, ">": 0}
    for question in questions:
        match = LINE.fullmatch(question)
        assert match is not None
        name = next(name for name in OPERATIONS if match[name])
        shares[name] += 1
        if name == "for":
            counts[int(question[question.index("[") + 1])] += 1
        elif name == "if":
            signs["<" if "<" in question else ">"] += 1
    for share in shares.values():
        assert share == pytest.approx(4000, abs=5 * (4000 * 0.8) ** 0.5)
    assert counts[0] == 0
    for count in counts[1:]:
        assert count == pytest.approx(shares["for"] / 9, abs=5 * (shares["for"] / 9) ** 0.5)
    assert signs["<"] == pytest.approx(shares["if"] / 2, abs=5 * (shares["if"] / 4) ** 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"program": "sort"},
            "program: 'sort' given, one of .*'addition', 'control', 'full', 'algebra', 'alg_control'",
        ),
        ({"program": "full", "length": 9}, "length: 9 given, at most 8 possible with program 'full'"),
        ({"program": "addition", "length": 18}, "length: 18 given, at most 17 possible with program 'addition'"),
        ({"program": "full", "length": 0}, "length: 0 given, at least 1 needed"),
        ({"program": "full", "nesting": 0}, "nesting: 0 given, at least 1 needed"),
        ({"program": "full", "patience": 0}, "patience: 0 given, at least 1 needed"),
        ({"program": "full", "curriculum": "Mix"}, "curriculum: 'Mix' given"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Programs(**options)
