"""What a memory did: the record that :meth:`rmc_agents.core.Core.trace` makes of an unroll, for eyes and analysis."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rmc_agents.tree import Tree


@dataclass(frozen=True)
class Trace:
    """T steps of a memory core, B items. What a core has not is None.

    Attributes:
        outputs: ``[T, B, O]``, what the forward pass returned.
        memory_before: a tree of ``[T, B, ...]``: the memory each step started from, resets done.
        memory_after: the same after each step.
        attention: ``[T, B, blocks, heads, rows, rows + inputs]``: how much each row of the memory read from each row of
            the memory and then from each input row, in each round of attention; sums to 1 over the last axis.
        input_gate: ``[T, B, rows, 1]``, or a value for each element: how much of what was read enters. Of a stack of
            layers, each is a row.
        forget_gate: the same: how much of the old memory stays.
        output_gate: the same: how much of the new memory the output shows.
        reset_gate: the same: how much of the old memory the candidate of a GRU sees.
    """

    outputs: Tensor
    memory_before: Tree
    memory_after: Tree
    attention: Tensor | None = None
    input_gate: Tensor | None = None
    forget_gate: Tensor | None = None
    output_gate: Tensor | None = None
    reset_gate: Tensor | None = None


def attention_maps(trace: Trace, item: int = 0, block: int = -1, head: int | None = None) -> Tensor:
    """One attention matrix a time step, as Figure 3 of the paper shows them.

    Args:
        trace: of a core that attends.
        item: which of the B items.
        block: which round of attention; the last by default.
        head: which head; the mean of all by default.

    Returns:
        ``[T, rows, rows + inputs]``: a row is a slot that reads; its columns are the slots, then the input rows, that
        it reads from.

    Raises:
        ValueError: the core does not attend, or there is no such item, block or head.
    """
    if trace.attention is None:
        raise ValueError("trace: this core has no attention; a trace of a relational memory needed")
    weights = trace.attention
    for name, index, size in (("item", item, weights.shape[1]), ("block", block, weights.shape[2])):
        if not -size <= index < size:
            raise ValueError(f"{name}: {index} given, {-size} .. {size - 1} needed")
    chosen = weights[:, item, block]  # [T, heads, rows, rows + inputs]
    if head is None:
        return chosen.mean(dim=1)
    if not -chosen.shape[1] <= head < chosen.shape[1]:
        raise ValueError(f"head: {head} given, {-chosen.shape[1]} .. {chosen.shape[1] - 1} needed")
    return chosen[:, head]
