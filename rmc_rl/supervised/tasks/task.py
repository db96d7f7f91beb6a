"""The contract of every supervised task: batches of sequences, made when asked for, on the device where they are used.

A task draws everything from the ``torch.Generator`` it is given, and makes a whole batch by operations on tensors on
that generator's device. So a batch is a function of the task's options and the generator's state, no worker processes
prepare data, and a GPU is never waited for.

Questions of different length end at the same row, and answers follow it: shorter ones begin later, with ``reset`` at
their first row, which leaves nothing of the rows before it. A memory that reads such a batch is, row by row, the one
that would have read each sequence alone; what a model computes does not depend on how far a batch is padded.

A new task is one file with a decorated class and one configuration that names it and its options::

    @register_task("my_task")
    class MyTask(Task):
        def __init__(self, *, length: int = 5) -> None: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rmc_agents.registry import Registry

NOTHING = -1
"""In place of a symbol: nothing is shown, the model's input is all zeros."""

Stage = Literal["train", "evaluation"]
"""What a batch is for: a task may train on easier samples than it is judged by."""


@dataclass(frozen=True)
class Batch:
    """B sequences of T rows, whose last A rows are answered.

    Attributes:
        inputs: ``[T, B, I]`` numbers, or ``[T, B]`` int64 symbols in 0 .. I - 1 or `NOTHING`.
        reset: bool ``[T, B]``, where a sequence begins.
        targets: int64 ``[A, B]``, the right class at each of the last A rows; where it does not count, any class.
        mask: bool ``[A, B]``, which of these rows count.
        details: by name, ``[B, ...]`` tensors that say how each sequence came to be, for analysis.
    """

    inputs: Tensor
    reset: Tensor
    targets: Tensor
    mask: Tensor
    details: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_answers(self) -> int:
        """A."""
        return len(self.targets)


class Task(ABC):
    """What is asked, and what the answer would be. Subclasses set the attributes, the first two in their constructor.

    Attributes:
        input_size: I, width of an input row, or number of symbols.
        num_classes: of the answers.
        symbols: whether inputs are symbols instead of numbers.
        decodes: whether nothing is shown on the answered rows, so that a decoder can give the answers, and they are of
            the same symbols as the inputs.
        judged_by: which figure of an evaluation makes one model better than another, ``accuracy`` or ``loss``.
    """

    input_size: int
    num_classes: int
    symbols: bool = False
    decodes: bool = False
    judged_by: Literal["accuracy", "loss"] = "accuracy"

    @abstractmethod
    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        """``size`` new sequences, on the device of ``generator``.

        Raises:
            ValueError: a size below 1 or an unknown stage.
        """
        raise NotImplementedError

    @abstractmethod
    def question(self, batch: Batch, item: int) -> str:
        """What item ``item`` of a batch asks, for people."""
        raise NotImplementedError

    @abstractmethod
    def answer(self, classes: Tensor, mask: Tensor) -> str:
        """Answers to one item for people, a model's or the targets: int64 ``[A]``, of which ``mask`` ``[A]`` counts."""
        raise NotImplementedError

    def follow(self, loss: Tensor) -> None:  # noqa: B027 (most tasks have no use for it)
        """Told the loss after each update, in case what is asked next depends on it."""

    def state_dict(self) -> dict[str, float]:
        """What :meth:`follow` has changed, for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:  # noqa: B027
        """Go on from :meth:`state_dict`."""


class StreamTask(Task):
    """A task that is one long sequence, read in windows: each begins, with its memory, where the last one ended.

    The sequence is read at several places at once, by streams side by side; :meth:`Task.batch` gives windows from
    random places, each for itself.
    """

    @property
    @abstractmethod
    def stream_marks(self) -> dict[str, int]:
        """What the memory of the training streams belongs to: of other marks it is of no use."""
        raise NotImplementedError

    @abstractmethod
    def window(self, streams: int, number: int, device: torch.device) -> Batch:
        """The training window after ``number`` others; ``reset`` where the streams begin anew.

        Raises:
            ValueError: so many streams find no window each.
        """
        raise NotImplementedError

    @abstractmethod
    def windows(self, streams: int, part: str, device: torch.device) -> Iterator[Batch]:
        """Another part's whole sequence, each answer once: by at most so many streams, from their beginning on."""
        raise NotImplementedError


def check_batch(size: int, stage: str) -> None:
    """Raise ``ValueError`` unless the arguments of :meth:`Task.batch` can be fulfilled."""
    at_least(1, size=size)
    if stage not in get_args(Stage):
        raise ValueError(f"stage: {stage!r} given, 'train' or 'evaluation' needed")


def at_least(minimum: int, **sizes: int) -> None:
    """Raise ``ValueError`` that names the first of the sizes which is smaller."""
    for name, size in sizes.items():
        if size < minimum:
            raise ValueError(f"{name}: {size} given, at least {minimum} needed")


tasks: Registry[Task] = Registry("task")


def register_task(name: str) -> Callable[[type[Task]], type[Task]]:
    """Class decorator: make a :class:`Task` known to :func:`make_task` as ``name``. All its options are by keyword."""
    return tasks.register(name)


def make_task(name: str, **options: Any) -> Task:
    """Build the task registered as ``name``.

    Raises:
        ValueError: an unknown name or option, a missing option, or one that the task refuses.
        TypeError: an option of another type than the constructor's annotation says.
    """
    return tasks.make(name, **options)


def task_names() -> list[str]:
    """The names that :func:`make_task` knows, sorted."""
    return tasks.names()
