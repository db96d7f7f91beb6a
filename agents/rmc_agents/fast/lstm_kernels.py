"""What lies between the matrix products of an LSTM step, compiled: forward and backward.

As in :mod:`rmc_agents.fast.kernels`, whose functions of single numbers these are made of, all arrays are float32 and
C-contiguous. Numba's cache does not see that another file changed: who changes those functions must touch this file.

Shapes: B items, H units; the gates of one item lie side by side: input, forget, output, candidate. Short loops over few
arrays, because the compiler vectorises no others: it has to be sure that none of them overlap.
"""

from __future__ import annotations

import numpy as np

from rmc_agents.fast.kernels import ONE, ZERO, Array, _compiled, _sigmoid, _tanh


@_compiled
def cell_forward(
    reset: Array,
    hidden: Array,
    cell: Array,
    from_hidden: Array,
    gates: Array,
    new_cell: Array,
    new_hidden: Array,
    start: Array,
) -> None:
    """c ← f ∘ c + i ∘ g and h ← o ∘ tanh(c), from an h and c that are selected: zero where reset.

    Args:
        reset: bool [B].
        hidden: [B, H], h before the step; ``cell`` its c.
        from_hidden: [B, 4H], the product of that h; of an h that is reset, zero, none is needed.
        gates: [B, 4H], the input's part before sigmoid and tanh, replaced by i, f, o and g.
        new_cell: [B, H], filled; ``new_hidden`` alike. Neither is ``cell`` or ``hidden``.
        start: [B, H], filled with the h selected; or [0, 0].
    """
    width = new_cell.shape[1]
    keeps = start.size > 0
    nothing = np.zeros(4 * width, np.float32)
    for b in range(new_cell.shape[0]):
        gate, old, last, added = gates[b], cell[b], hidden[b], from_hidden[b]
        if reset[b]:
            old = last = nothing[:width]
            added = nothing
        for c in range(3 * width):
            gate[c] = _sigmoid(gate[c] + added[c])
        candidate, added_to_it = gate[3 * width :], added[3 * width :]
        for c in range(width):
            candidate[c] = _tanh(candidate[c] + added_to_it[c])
        forget, output, new, h = gate[width:], gate[2 * width :], new_cell[b], new_hidden[b]
        for c in range(width):
            new[c] = forget[c] * old[c] + gate[c] * candidate[c]
        for c in range(width):
            h[c] = output[c] * _tanh(new[c])
        if keeps:
            row = start[b]
            for c in range(width):
                row[c] = last[c]


@_compiled
def cell_backward(
    d_output: Array,
    d_hidden: Array,
    next_reset: Array,
    reset: Array,
    cell: Array,
    new_cell: Array,
    gates: Array,
    d_cell: Array,
    d_gates: Array,
    d_bias: Array,
) -> None:
    """Backward of :func:`cell_forward`; nothing goes past a reset.

    Args:
        d_output: [B, H], gradient of the new h as an output.
        d_hidden: [B, H], what reaches it from the next step, unless ``next_reset``, bool [B].
        reset: bool [B].
        cell: [B, H], c before the step; ``new_cell`` after it.
        gates: [B, 4H], i, f, o and g.
        d_cell: [B, H], gradient of the new c, replaced by that of the c before.
        d_gates: [B, 4H], filled: of the gates before sigmoid and tanh.
        d_bias: [4H], added to: their sum over the batch.
    """
    width = cell.shape[1]
    nothing = np.zeros(width, np.float32)
    d_c = np.empty(width, np.float32)
    step_bias = np.zeros(4 * width, np.float32)
    for b in range(cell.shape[0]):
        write, forget = gates[b, :width], gates[b, width : 2 * width]
        read, candidate = gates[b, 2 * width : 3 * width], gates[b, 3 * width :]
        d_write, d_forget = d_gates[b, :width], d_gates[b, width : 2 * width]
        d_read, d_candidate = d_gates[b, 2 * width : 3 * width], d_gates[b, 3 * width :]
        one, other = d_output[b], nothing if next_reset[b] else d_hidden[b]
        old, new, d_old = nothing if reset[b] else cell[b], new_cell[b], d_cell[b]
        for c in range(width):
            d_h, tanh_c, o = one[c] + other[c], _tanh(new[c]), read[c]
            d_read[c] = d_h * tanh_c * o * (ONE - o)
            d_c[c] = d_h * o * (ONE - tanh_c * tanh_c)
        for c in range(width):
            d_c[c] += d_old[c]
        for c in range(width):
            d_write[c] = d_c[c] * candidate[c] * write[c] * (ONE - write[c])
        for c in range(width):
            d_candidate[c] = d_c[c] * write[c] * (ONE - candidate[c] * candidate[c])
        for c in range(width):
            d_forget[c] = d_c[c] * old[c] * forget[c] * (ONE - forget[c])
        if reset[b]:
            for c in range(width):
                d_old[c] = ZERO
        else:
            for c in range(width):
                d_old[c] = d_c[c] * forget[c]
        row = d_gates[b]
        for c in range(row.size):
            step_bias[c] += row[c]
    for c in range(step_bias.size):
        d_bias[c] += step_bias[c]
