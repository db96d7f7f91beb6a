"""The models of the paper's supervised tasks: any memory core, and an MLP that reads its outputs (appendix A.1, A.2).

::

                                         nothing        nothing
    inputs ──▶ core ──▶ … ──▶ core ──▶ core ──▶ … ──▶ core        the encoder's rows, then the A rows that are answered
                                         │              │
                                        MLP            MLP         ──▶ logits [A, B, C]

The decoder starts from the encoder's last memory. On its rows nothing is shown: it is told neither the right answer so
far nor its own. One core is both, as in the released example, so that one unroll does it all; the paper's text leaves
open whether the decoder is a network of its own, and it can be one. Where a single row is answered that shows the last
input, as in Nth Farthest, the core's output there is what the MLP reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents.core import Core, State
from rmc_agents.registry import check_options, make_core
from rmc_agents.trace import Trace
from rmc_agents.tree import map_tree
from rmc_rl.supervised.language.model import LanguageModel
from rmc_rl.supervised.layers import mlp
from rmc_rl.supervised.scores import Scores, score, sequence_loss
from rmc_rl.supervised.tasks.task import NOTHING, Batch, StreamTask, Task, at_least


class SequenceModel(nn.Module):
    """Reads sequences and answers at their last rows.

    Args:
        task: what is read and what is answered; only its sizes are used.
        core: called with an input size, returns a memory core.
        embedding_size: width of the vectors that stand for symbols; ``None``: they are one-hot.
        hidden_sizes: of the MLP's layers, each followed by ReLU; then comes a linear one.
        own_decoder: whether a second core, with weights of its own, goes on from the first one's memory where the
            answers begin.
        feed_back: whether each answered row is shown the answer to the row before it, the likeliest symbol. No gradient
            flows through the choice. The paper's reported results are without.

    Raises:
        ValueError: a size below 1, an option that the task has no use for, or a core of another input size.
    """

    def __init__(
        self,
        task: Task,
        core: Callable[[int], Core],
        *,
        embedding_size: int | None = None,
        hidden_sizes: tuple[int, ...] = (256, 256, 256, 256),
        own_decoder: bool = False,
        feed_back: bool = False,
    ) -> None:
        super().__init__()
        for name, value in {"own_decoder": own_decoder, "feed_back": feed_back}.items():
            if value and not task.decodes:
                raise ValueError(
                    f"{name}: True given, but the task's answers begin before its inputs end: False needed"
                )
        self.num_symbols = task.input_size if task.symbols else None
        self.feed_back = feed_back
        core_input_size = task.input_size
        self.embedding: nn.Embedding | None = None
        if embedding_size is not None:
            at_least(1, embedding_size=embedding_size)
            if self.num_symbols is None:
                raise ValueError(
                    f"embedding_size: {embedding_size} given, but the task's inputs are numbers: None needed"
                )
            # One row more: NOTHING stays all zeros.
            self.embedding = nn.Embedding(self.num_symbols + 1, embedding_size, padding_idx=self.num_symbols)
            core_input_size = embedding_size
        self.core = core(core_input_size)
        self.decoder = core(core_input_size) if own_decoder else None
        if self.core.input_size != core_input_size:
            raise ValueError(f"core: one of input size {self.core.input_size} given, {core_input_size} needed")
        self.head = mlp(self.core.output_size, hidden_sizes, task.num_classes)

    def initial_state(self, batch_size: int) -> State:
        """The core's memory before a sequence, for each of ``batch_size`` sequences."""
        return self.core.initial_state(batch_size)

    def forward(
        self, inputs: Tensor, reset: Tensor, num_answers: int, state: State | None = None
    ) -> tuple[Tensor, State]:
        """The answers to T rows of B sequences.

        Args:
            inputs: ``[T, B, I]`` numbers, or ``[T, B]`` symbols.
            reset: bool ``[T, B]``, where a sequence begins.
            num_answers: A, 1 <= A <= T: how many rows, the last ones, are answered.
            state: the memory before row 0; None: as before a sequence.

        Returns:
            Logits ``[A, B, C]``, and the memory after row T - 1, which with ``own_decoder`` is the decoder's.

        Raises:
            ValueError: a shape does not fit; the message names the argument.
        """
        if not 1 <= num_answers <= len(inputs):
            raise ValueError(f"num_answers: {num_answers} given for {len(inputs)} rows, 1 .. {len(inputs)} needed")
        if state is None:
            state = self.initial_state(reset.shape[1])
        rows = self.embed(inputs)
        if self.decoder is None and not self.feed_back:
            outputs, state = self.core(rows, state, reset)
            return self.head(outputs[-num_answers:]), state
        first = len(rows) - num_answers  # row that is answered
        if first > 0:
            _, state = self.core(rows[:first], state, reset[:first])
        decoder = self.core if self.decoder is None else self.decoder
        if not self.feed_back:
            outputs, state = decoder(rows[first:], state, reset[first:])
            return self.head(outputs), state
        logits: list[Tensor] = []
        for t in range(first, len(rows)):
            row = self.embed(logits[-1].argmax(dim=-1)) if logits else rows[t : t + 1]
            outputs, state = decoder(row, state, reset[t : t + 1])
            logits.append(self.head(outputs))
        return torch.cat(logits), state

    def judge(
        self, batch: Batch, state: State | None = None, noise: torch.Generator | None = None
    ) -> tuple[Tensor, Scores, State]:
        """The loss of all answers that count, added up, their scores, and the memory after them.

        Args:
            batch: B sequences.
            state: the memory before row 0; None: as before a sequence.
            noise: has no use here, see :meth:`LanguageModel.judge`.
        """
        logits, state = self(batch.inputs, batch.reset, batch.num_answers, state)
        loss = sequence_loss(logits, batch.targets, batch.mask).sum()
        return loss, score(logits.detach(), batch.targets, batch.mask), state

    @torch.no_grad()
    def trace(self, inputs: Tensor, reset: Tensor, num_answers: int, state: State | None = None) -> Trace:
        """What the memory does in :meth:`forward` with the same arguments, see :class:`rmc_agents.trace.Trace`."""
        if state is None:
            state = self.initial_state(reset.shape[1])
        first = len(inputs) - num_answers
        if self.feed_back:
            logits, _ = self(inputs, reset, num_answers, state)
            inputs = torch.cat([inputs[: first + 1], logits[:-1].argmax(dim=-1)])
        rows = self.embed(inputs)
        if self.decoder is None:
            return self.core.trace(rows, state, reset)
        read = self.core.trace(rows[:first], state, reset[:first])
        state = map_tree(lambda leaf: leaf[-1], read.memory_after)
        return _joined(read, self.decoder.trace(rows[first:], state, reset[first:]))

    def embed(self, inputs: Tensor) -> Tensor:
        """What the core reads: numbers as they are, symbols ``[T, B]`` as vectors ``[T, B, I]``, `NOTHING` as zeros."""
        if self.num_symbols is None:
            return inputs
        if self.embedding is not None:
            return self.embedding(torch.where(inputs == NOTHING, self.num_symbols, inputs))
        numbers = torch.arange(self.num_symbols, device=inputs.device)
        return (inputs.unsqueeze(-1) == numbers).to(self.head[-1].weight.dtype)  # type: ignore[arg-type]


Model = SequenceModel | LanguageModel


def make_model(task: Task, core: str, core_options: Mapping[str, Any], **options: Any) -> Model:
    """The model for a task with the core registered as ``core``.

    ``options`` are those of :class:`LanguageModel` where the task is a stream, else of :class:`SequenceModel`.

    Raises:
        ValueError: an unknown core, or an option unknown or refused.
        TypeError: an option of another type than its annotation says.
    """

    def with_input_size(input_size: int) -> Core:
        return make_core(core, input_size, **core_options)

    if isinstance(task, StreamTask):
        check_options("the model", LanguageModel, options)
        return LanguageModel(task, with_input_size, **options)
    check_options("the model", SequenceModel, options)
    return SequenceModel(task, with_input_size, **options)


def _joined(*traces: Trace) -> Trace:
    """Traces of one sequence after another, of cores of one kind."""

    def join(*parts: Tensor) -> Tensor:
        return torch.cat(parts)

    parts = {each.name: [getattr(trace, each.name) for trace in traces] for each in fields(Trace)}
    joined: dict[str, Any] = {name: None if part[0] is None else map_tree(join, *part) for name, part in parts.items()}
    return Trace(**joined)
