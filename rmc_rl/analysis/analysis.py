"""The contract of every analysis: what it is given, what it gives, and for which type of task it is.

A new analysis is one file::

    @register_analysis(MyTask)
    def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis: ...

It draws what it asks from ``seed`` alone, so that two calls give the same numbers. It imports matplotlib where it
draws, by `rmc_rl.analysis.pictures.require`, before it asks anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rmc_rl.supervised.tasks import Batch, Task
from rmc_rl.supervised.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Follow = Callable[[int, int], None]
"""Told how many sequences have been asked, and of how many."""

"""Sequences that a model answers together."""


@dataclass(frozen=True)
class Table:
    """For the terminal.

    Attributes:
        title: what is counted.
        columns: their headings.
        rows: a word for each column.
        note: what a reader must know of it.
        left: so many columns, the first ones, are words; the others are numbers and end alike.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    left: int = 1


@dataclass(frozen=True)
class Example:
    """A question, for people.

    Attributes:
        where: how difficult it is, or another word that sorts examples.
        question: what was asked.
        target: the right answer.
        answer: the model's.
        right: whether they agree.
        more: what else helps to understand the answer.
    """

    where: str
    question: str
    target: str
    answer: str
    right: bool
    more: str = ""


@dataclass(frozen=True)
class Analysis:
    """What was found.

    Attributes:
        numbers: all of it, as JSON holds it; what is not finite becomes null.
        tables: what a person reads first.
        pictures: by file name; only .png.
        examples: of questions and answers.
        notes: what could not be done, and why.
    """

    numbers: dict[str, Any]
    tables: list[Table]
    pictures: dict[str, Figure] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Analyser = Callable[[Trained, int, int, Follow], Analysis]

_ANALYSES: dict[type, Analyser] = {}


def register_analysis(task: type) -> Callable[[Analyser], Analyser]:
    """Decorator: the function analyses tasks of this type, and of its subclasses that have no analysis of their own."""

    def decorate(analyser: Analyser) -> Analyser:
        _ANALYSES[task] = analyser
        return analyser

    return decorate


def analysis_of(task: Task) -> Analyser:
    """The analysis of the nearest type that has one; that of `Task` knows any."""
    return next(_ANALYSES[cls] for cls in type(task).__mro__ if cls in _ANALYSES)


def counting(follow: Follow, total: int) -> Callable[[int], None]:
    """A function that is told how many more have been asked, and tells how many have been of how many."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        follow(done, total)

    return count


MOST_EXAMPLES = 3


class Examples:
    """The first sequences that are answered rightly, and the first that are not: so many of both, of each ``where``."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], list[Example]] = {}

    def add(
        self, task: Task, batch: Batch, answers: Tensor, where: str = "", more: Callable[[int], str] | None = None
    ) -> None:
        """Take what is still wanted from a batch.

        Args:
            task: that the batch is of.
            batch: B sequences.
            answers: the model's, ``[A, B]``.
            where: see `Example`.
            more: of an item, see `Example`.
        """
        right = ((answers == batch.targets) | ~batch.mask).all(dim=0)
        for kind in (True, False):
            found = self._found.setdefault((where, kind), [])
            for item in (right == kind).nonzero()[: MOST_EXAMPLES - len(found), 0].tolist():
                given = answers[:, item], batch.targets[:, item]
                answer, target = (task.answer(classes, batch.mask[:, item]) for classes in given)
                words = more(item) if more else ""
                found.append(Example(where, task.question(batch, item), target, answer, kind, words))

    @property
    def found(self) -> list[Example]:
        """In the order of ``where``, right answers before wrong ones."""
        return [example for group in self._found.values() for example in group]
