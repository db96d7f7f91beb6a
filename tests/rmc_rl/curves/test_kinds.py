from __future__ import annotations

from pathlib import Path

import pytest

from rmc_rl.curves.kinds import AGENT, Kind, kind_of
from rmc_rl.curves.runs import read_run
from rmc_rl.supervised.progress import GLOSSARY as SUPERVISED_GLOSSARY
from tests.rmc_rl.recorded import write_run, write_supervised_run

MODEL = kind_of(["task.name"])


def test_runs_are_told_apart_by_what_they_train_on(tmp_path: Path) -> None:
    agent = read_run(write_run(tmp_path / "agent"))
    model = read_run(write_supervised_run(tmp_path / "model"))
    assert agent.kind is AGENT
    assert model.kind is MODEL
    assert model.environment == "memorization"
    assert (agent.kind.score, model.kind.score) == ("return_mean", "test_accuracy")
    assert (agent.kind.unit, model.kind.unit) == ("steps", "updates")
    assert kind_of([]) is AGENT


@pytest.mark.parametrize("kind", [AGENT, MODEL])
def test_every_column_that_is_drawn_is_written(kind: Kind) -> None:
    assert {kind.score, "steps", *kind.learning, *kind.speeds, *kind.shares} <= set(kind.glossary)


@pytest.mark.parametrize("kind", [AGENT, MODEL])
def test_what_a_column_holds_is_said_without_the_columns_before_it(kind: Kind) -> None:
    """A figure shows one alone."""
    for column in kind.glossary:
        assert "the same" not in kind.describe(column), column
        assert not kind.describe(column).endswith(" it"), column


def test_columns_are_described_in_a_few_words_or_by_their_name() -> None:
    assert AGENT.describe("rho") == "mean clipped importance weight"
    assert AGENT.meaning("rho").endswith(": 1 when acting and learning policies agree")
    assert AGENT.describe("steps").startswith("valid environment steps")
    assert MODEL.describe("steps") == SUPERVISED_GLOSSARY["steps"] == "updates of the model"
    assert AGENT.describe("a: b") == AGENT.meaning("a: b") == "a: b"
