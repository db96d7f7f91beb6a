"""A whole unroll of an LSTM, layer by layer, each layer one differentiable operation: for float32 on the CPU.

Once the layer below is done all inputs of a layer are known, and their part of the gates is one product over all steps.
A step is then one product, of the last h, and one compiled kernel (:mod:`rmc_agents.fast.lstm_kernels`), backward
alike, and every weight's gradient is one product over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rmc_agents.fast.kernels import view
from rmc_agents.fast.lstm_kernels import cell_backward, cell_forward
from rmc_agents.fast.products import multiplier, product, weight_gradient

if TYPE_CHECKING:
    from rmc_agents.lstm import LSTMCore, LSTMState


Item = TypeVar("Item")

ROWS_PER_PRODUCT = 1024
"""Gradients of the gates of so many rows, or of up to twice as many, go into one product."""


class Tape(NamedTuple):
    """What the backward pass needs."""

    gates: Tensor
    """[T, B, 4H]: i, f, o and g."""
    cells: Tensor
    """[T, B, H]: c after each step; where nothing is kept the last two take turns."""
    starts: Tensor
    """[T, B, H]: the h that each step started from; [1, 0, 0] where nothing is kept."""


def unroll(core: LSTMCore, inputs: Tensor, state: LSTMState, reset: Tensor) -> tuple[Tensor, LSTMState]:
    """T steps of ``core``, as :meth:`rmc_agents.core.Core.unroll` does them; differentiable once."""
    inputs, reset = inputs.contiguous(), reset.contiguous()
    from_input: Any = core.from_input
    from_hidden: Any = core.from_hidden
    from_below: Any = core.from_below
    outputs: list[Tensor] = []
    hidden_rows: list[Tensor] = []
    cell_rows: list[Tensor] = []
    for layer, (hidden, cell) in enumerate(zip(state[0].unbind(1), state[1].unbind(1), strict=True)):
        read = inputs if layer == 0 or core.skip_connections else outputs[-1]
        tensors = [hidden, cell, from_hidden[layer].weight, from_input[layer].bias, read, from_input[layer].weight]
        if layer > 0 and core.skip_connections:
            tensors += [outputs[-1], from_below[layer - 1].weight]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            output, hidden, cell = _Layer.apply(reset, *tensors)
        else:
            output, hidden, cell, _ = _forward(reset, *tensors, keep=False)
        outputs.append(output)
        hidden_rows.append(hidden)
        cell_rows.append(cell)
    output = torch.cat(outputs, dim=-1) if core.concatenate_outputs else outputs[-1]
    return output, (torch.stack(hidden_rows, dim=1), torch.stack(cell_rows, dim=1))


class _Layer(torch.autograd.Function):
    """:func:`_forward` and :func:`_backward` for autograd."""

    @staticmethod
    def forward(ctx: Any, reset: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, hidden, cell, tape = _forward(reset, *tensors, keep=True)
        ctx.save_for_backward(*tape, reset, *tensors)
        return outputs, hidden.clone(), cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        gates, cells, starts, *given = ctx.saved_tensors  # raises where a parameter was changed since
        needed: list[bool] = list(ctx.needs_input_grad)
        with torch.autocast("cpu", enabled=False):  # where backward is called is not how forward was
            return None, *_backward(needed[1:], Tape(gates, cells, starts), d_outputs, d_hidden, d_cell, *given)


def _forward(
    reset: Tensor, hidden: Tensor, cell: Tensor, from_hidden: Tensor, bias: Tensor, *sources: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tape]:
    """One layer, T steps.

    Args:
        reset: bool [T, B].
        hidden: [B, H], h before the first step; ``cell`` its c.
        from_hidden: [4H, H], U.
        bias: [4H], b.
        sources: inputs [T, B, I] and their weights [4H, I], of one source or of two.
        keep: whether a backward pass may follow.

    Returns:
        Outputs [T, B, H] and, as views, h and c after the last step.
    """
    (x, weight), *others = _pairs(sources)
    gates = product(x, weight, bias)
    for x, weight in others:
        gates += product(x, weight)
    steps, (batch, width) = len(gates), hidden.shape
    outputs = hidden.new_empty(steps, batch, width)
    cells = hidden.new_empty(steps if keep else min(steps, 2), batch, width)
    starts = hidden.new_empty((steps, batch, width) if keep else (1, 0, 0))
    hidden = hidden.contiguous()
    multiply = multiplier(from_hidden, None, batch)
    all_gates, all_cells, all_outputs, all_starts = view(gates), view(cells), view(outputs), view(starts)
    resets, rows, before, last = view(reset), outputs.unbind(0), view(cell), view(hidden)
    for t in range(steps):
        after = all_cells[t % len(all_cells)]
        start = all_starts[t % len(all_starts)]
        cell_forward(resets[t], last, before, view(multiply(hidden)), all_gates[t], after, all_outputs[t], start)
        hidden, before, last = rows[t], after, all_outputs[t]
    return outputs, hidden, cells[(steps - 1) % len(cells)], Tape(gates, cells, starts)


def _backward(
    needed: list[bool],
    tape: Tape,
    d_outputs: Tensor,
    d_hidden: Tensor,
    d_cell: Tensor,
    reset: Tensor,
    hidden: Tensor,
    cell: Tensor,
    from_hidden: Tensor,
    bias: Tensor,
    *sources: Tensor,
) -> list[Tensor | None]:
    """Gradients of the arguments of :func:`_forward` after ``reset``: those ``needed``, and some that cost nothing."""
    steps, (batch, width) = len(reset), hidden.shape
    d_bias, d_cell = torch.zeros_like(bias), d_cell.clone(memory_format=torch.contiguous_format)
    d_from_hidden = torch.zeros_like(from_hidden) if needed[2] else None
    d_sources = [torch.zeros_like(each) if need else None for each, need in zip(sources, needed[4:], strict=True)]
    multiply = multiplier(from_hidden.T, None, batch)
    # Those of a few steps are gathered, so many as are worth a product and stay in the cache meanwhile.
    gathered = -(-steps // max(1, steps * batch // ROWS_PER_PRODUCT))
    d_gates = tape.gates.new_empty(gathered, batch, 4 * width)
    all_gates, all_cells, first_cell = view(tape.gates), view(tape.cells), view(cell)
    d_all_outputs, d_rows, d_sum, d_before = view(d_outputs), view(d_gates), view(d_bias), view(d_cell)
    resets, rows, next_reset = view(reset), d_gates.unbind(0), view(torch.zeros_like(reset[0]))
    for t in reversed(range(steps)):
        place = t % gathered
        cell_backward(
            d_all_outputs[t],
            view(d_hidden),
            next_reset,
            resets[t],
            all_cells[t - 1] if t > 0 else first_cell,
            all_cells[t],
            all_gates[t],
            d_before,
            d_rows[place],
            d_sum,
        )
        d_hidden, next_reset = multiply(rows[place]), resets[t]
        if place == 0:
            stop = min(t + gathered, steps)
            d_gathered = d_gates[: stop - t]
            if d_from_hidden is not None:
                d_from_hidden.add_(weight_gradient(tape.starts[t:stop], d_gathered))
            for (x, weight), (d_x, d_weight) in zip(_pairs(sources), _pairs(d_sources), strict=True):
                if d_x is not None:
                    d_x[t:stop] = product(d_gathered, weight.T)
                if d_weight is not None:
                    d_weight.add_(weight_gradient(x[t:stop], d_gathered))
    d_hidden = d_hidden.masked_fill(reset[0].unsqueeze(-1), 0.0)
    return [d_hidden, d_cell, d_from_hidden, d_bias, *d_sources]


def _pairs(row: Sequence[Item]) -> list[tuple[Item, Item]]:
    return list(zip(row[::2], row[1::2], strict=True))
