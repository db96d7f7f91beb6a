"""How far a supervised run has come, and what is said about it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from rmc_rl.display import Board
from rmc_rl.errors import UserError
from rmc_rl.metrics import memory_mb
from rmc_rl.progress import number, whole

GLOSSARY = {
    "steps": "updates of the model",
    "sequences": "sequences learnt from",
    "loss": "cross-entropy of an answer in training, in nats",
    "perplexity": "perplexity in training: exp of the loss; among so many equally likely answers it would be as unsure",
    "accuracy": "share of the answers in training that were right",
    "solved": "share of the sequences in training whose answers were all right",
    "test_loss": "cross-entropy of an answer in the last evaluation, in nats: new sequences of full difficulty",
    "test_perplexity": "perplexity in the last evaluation: exp of test_loss; of a text its validation part's",
    "test_accuracy": "share of the answers in the last evaluation that were right",
    "test_solved": "share of the sequences in the last evaluation whose answers were all right",
    "grad_norm": "global norm of the gradient before clipping",
    "learning_rate": "the current learning rate",
    "steps_per_second": "updates per second in the interval, evaluations included",
    "sequences_per_second": "sequences learnt from per second of updates",
    "data_share": "share of the updates' time that making batches took",
    "memory_mb": "memory of all processes of the run that they do not share, in MB",
    "seconds": "training time, resumed parts included",
}

_LINES = {
    "accuracy": (
        "loss {loss:.4f} | right {accuracy:6.2%} solved {solved:6.2%} | test {test_accuracy:6.2%} "
        "| {sequences_per_second:,.0f} sequences/s"
    ),
    "loss": (
        "perplexity {perplexity:,.2f} | test {test_perplexity:,.2f} right {test_accuracy:6.2%} "
        "| {sequences_per_second:,.0f} sequences/s"
    ),
}
_TEST = {
    "accuracy": (
        ("right answers, test", ("test_accuracy",), ".2%", "of the last evaluation, at full difficulty"),
        ("solved sequences, test", ("test_solved",), ".2%", "all answers right"),
        ("loss, test", ("test_loss",), ".4f", "nats per answer"),
    ),
    "loss": (
        ("perplexity, test", ("test_perplexity",), ",.2f", "of the last evaluation, on the validation text"),
        ("right words, test", ("test_accuracy",), ".2%", "the likeliest one"),
        ("loss, test", ("test_loss",), ".4f", "nats per word"),
    ),
}
_TRAINING = {
    "accuracy": (
        ("right answers", ("accuracy",), ".2%", "in training"),
        ("solved sequences", ("solved",), ".2%", "all answers right"),
        ("loss", ("loss",), ".4f", "nats per answer"),
    ),
    "loss": (
        ("perplexity", ("perplexity",), ",.2f", "in training, of the interval's mean loss"),
        ("right words", ("accuracy",), ".2%", "in training"),
        ("loss", ("loss",), ".4f", "nats per word"),
    ),
}


def board(judged_by: str) -> Board:
    """What the display shows of a task, see `rmc_rl.supervised.tasks.task.Task`."""
    return Board(
        line=_LINES[judged_by],
        blocks=(
            _TEST[judged_by],
            (
                *_TRAINING[judged_by],
                ("gradient norm", ("grad_norm",), ".2f", "before clipping"),
                ("step size", ("learning_rate",), ".2e", ""),
            ),
            (
                ("updates", ("steps_per_second",), ",.2f", "per second"),
                ("sequences", ("sequences_per_second",), ",.0f", "learnt per second of updates"),
                ("making batches", ("data_share",), ".1%", "of the updates' time"),
                ("memory", ("memory_mb",), ",.0f", "MB"),
            ),
        ),
    )


_AVERAGED = ("loss", "accuracy", "solved", "grad_norm", "learning_rate")
_SUMMED = (*_AVERAGED, "sequences", "update_seconds", "data_seconds")
_TESTED = ("loss", "accuracy", "solved")


@dataclass
class SupervisedProgress:
    """Counters of a run.

    Attributes:
        steps: updates.
        sequences: learnt from.
        seconds: training time, resumed parts included.
        best: best score of an evaluation at a checkpoint; None before the first.
        test: the last evaluation's scores; none before the first.
        line_start: steps at the last line of metrics.
        sums: what has been gathered for the next one.
        line_seconds: time that this took before the run was resumed.
        judged_by: see `rmc_rl.supervised.tasks.task.Task`.
    """

    steps: int = 0
    sequences: int = 0
    seconds: float = 0.0
    best: float | None = None
    test: dict[str, float] = field(default_factory=dict)
    line_start: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMMED, 0.0))
    line_seconds: float = 0.0
    judged_by: str = "accuracy"
    _line_began: float = field(default_factory=time.monotonic)

    @property
    def line_is_empty(self) -> bool:
        """Whether there was no update since the last line."""
        return self.steps == self.line_start

    @property
    def score(self) -> float | None:
        """The share of right answers in the last evaluation, or the loss there, negative."""
        if not self.test:
            return None
        return self.test["accuracy"] if self.judged_by == "accuracy" else -self.test["loss"]

    def take(self, figures: Mapping[str, Any]) -> bool:
        """Count an update, and the evaluation that may come with it; none is ever lost."""
        self.steps = figures["steps"]
        self.sequences += figures["sequences"]
        for name in _SUMMED:
            self.sums[name] += figures[name]
        self.test = figures.get("test", self.test)
        return False

    def line(self) -> dict[str, float]:
        """The figures since the last line; the next one begins."""
        sums, count = self.sums, max(self.steps - self.line_start, 1)
        seconds = self.line_seconds + time.monotonic() - self._line_began
        busy = max(sums["update_seconds"], 1e-9)
        means = {name: sums[name] / count for name in _AVERAGED}
        row = {
            "steps": self.steps,
            "sequences": self.sequences,
            **means,
            "perplexity": perplexity_of(means["loss"]),
            **{f"test_{name}": self.test.get(name, math.nan) for name in _TESTED},
            "test_perplexity": perplexity_of(self.test.get("loss", math.nan)),
            "steps_per_second": count / max(seconds, 1e-9),
            "sequences_per_second": sums["sequences"] / busy,
            "data_share": sums["data_seconds"] / busy,
            "memory_mb": memory_mb(),
            "seconds": self.seconds,
        }
        self.line_start, self.sums = self.steps, dict.fromkeys(_SUMMED, 0.0)
        self.line_seconds, self._line_began = 0.0, time.monotonic()
        return row

    def as_of(self, state: Mapping[str, Any], best: float | None) -> Self:
        """The progress that goes with a state, which is always that of the last update."""
        return replace(self, best=best)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "steps": self.steps,
            "sequences": self.sequences,
            "seconds": self.seconds,
            "best": self.best,
            "test": self.test,
            "line_start": self.line_start,
            "sums": self.sums,
            "line_seconds": self.line_seconds + time.monotonic() - self._line_began,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: object) -> SupervisedProgress:
        """Read what `to_json` wrote; a checkpoint may come from a stranger.

        Raises:
            UserError: something is missing or of another type; the message names `where`.
        """
        try:
            best, sums, test = record["best"], record["sums"], record["test"]
            return cls(
                steps=whole(record["steps"]),
                sequences=whole(record["sequences"]),
                seconds=number(record["seconds"]),
                best=None if best is None else number(best),
                test={name: number(test[name]) for name in _TESTED} if test else {},
                line_start=whole(record["line_start"]),
                sums={name: number(sums[name]) for name in _SUMMED},
                line_seconds=number(record["line_seconds"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{where} does not hold the record of a supervised run of rmc-rl ({error!r})") from error


def perplexity_of(loss: float) -> float:
    """Among so many equally likely answers one would be as unsure."""
    return math.exp(min(loss, 700.0))  # beyond that no float holds it
