"""What lies between the matrix products of a Relational Memory Core step, compiled: forward and backward.

Each kernel works through the items of a batch one by one, so that what an item needs stays in the processor's first
cache, and writes what the backward pass needs. All arrays are float32 and C-contiguous. Shapes: B items, N slots, n
input rows, R = N + n rows, of which the first ``kept`` are updated; F = H * V wide; queries, keys and values of all
heads are C = H * (2K + V) wide, head by head, as :class:`rmc_agents.rmc.AttentionBlock` lays them out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, types
from numba.extending import overload
from torch import Tensor

Array = np.ndarray[Any, Any]

# Sums may be reordered and products fused, which vectorising needs; NaN and infinity keep their meaning.
_OPTIONS: Any = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
_compiled = njit(cache=True, nogil=True, **_OPTIONS)

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
EPSILON = np.float32(1e-5)  # of every LayerNorm: rmc_agents.rmc.LAYER_NORM_EPSILON
LOWEST = np.float32(-87.0)  # exp below this is no normal float32
LOG2_E = np.float32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440054690583e-4)  # ln 2 in two parts
# Taylor's coefficients of exp from the second power up: on |r| <= ln(2) / 2 the remainder is below one part in 10^8.
C2, C3, C4, C5, C6, C7 = (np.float32(1.0 / divisor) for divisor in (2.0, 6.0, 24.0, 120.0, 720.0, 5040.0))
T3, T5 = np.float32(-1.0 / 3.0), np.float32(2.0 / 15.0)  # Taylor's coefficients of tanh
NEAR = np.float32(0.05**2)
BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)
HALF_OF_THE_REST, BITS_OF_THE_REST = np.int32(0x7FFF), np.int32(16)  # what a float32 has and a bfloat16 has not
LAST_BIT, NOT_A_NUMBER = np.int32(1), np.int16(0x7FC0)


def view(tensor: Tensor) -> Array:
    """What the functions here take for a tensor: its own memory, or a copy where it is not in order."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy() if tensor.is_contiguous() else tensor.contiguous().numpy()


def number(value: float) -> Any:
    """What the functions here take for a number."""
    return np.float32(value)


def _float(x: Any) -> Any:
    """The float32 of one element of an array, which is that or a bfloat16."""


@overload(_float, jit_options=_OPTIONS)
def _float_of(x: Any) -> Any:
    def same(x: Any) -> Any:
        return x

    def widened(x: Any) -> Any:
        return np.int32(np.int32(x) << BITS_OF_THE_REST).view(np.float32)

    return same if isinstance(x, types.Float) else widened


def _round_row(row: Any, rounded: Any) -> Any:
    """Write float32s into a row of that or of bfloat16, to the nearest, to the even one where there are two."""


@overload(_round_row, jit_options=_OPTIONS)
def _round_row_into(row: Any, rounded: Any) -> Any:
    def same(row: Any, rounded: Any) -> Any:
        for c in range(row.size):
            rounded[c] = row[c]

    def shortened(row: Any, rounded: Any) -> Any:
        for c in range(row.size):
            bits = np.float32(row[c]).view(np.int32)
            last = np.int32((bits >> BITS_OF_THE_REST) & LAST_BIT)
            nearest = np.int16(np.int32(bits + HALF_OF_THE_REST + last) >> BITS_OF_THE_REST)
            rounded[c] = nearest if row[c] == row[c] else NOT_A_NUMBER

    return same if isinstance(rounded.dtype, types.Float) else shortened


@_compiled
def _exp(x: Any) -> Any:
    """e^x for x <= 0, to 2 in 10^7; 0 below -87. Written out because a call of libm cannot be vectorised."""
    bounded = LOWEST if x < LOWEST else x  # this way round NaN stays NaN
    power = np.floor(bounded * LOG2_E + HALF)
    r = bounded - power * LN_2_HIGH - power * LN_2_LOW
    series = ((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2
    series = (series * r + ONE) * r + ONE
    scale = np.int32((np.int32(power) + BIAS) << MANTISSA_BITS).view(np.float32)  # 2^power
    return ZERO if x < LOWEST else series * scale


@_compiled
def _tanh(x: Any) -> Any:
    far = -x if x > ZERO else x  # one call: of two the compiler keeps both
    e = _exp(far + far)
    t = (ONE - e) / (ONE + e)
    square = x * x
    near_zero = x * (ONE + square * (T3 + square * T5))  # where 1 - e would cancel
    return near_zero if square < NEAR else (t if x > ZERO else -t)


@_compiled
def _sigmoid(x: Any) -> Any:
    e = _exp(-x if x > ZERO else x)
    return (ONE if x > ZERO else e) / (ONE + e)


@_compiled
def _mean_and_inverse_deviation(row: Array) -> tuple[Any, Any]:
    size = np.float32(row.size)
    total = ZERO
    for c in range(row.size):
        total += _float(row[c])
    mean = total / size
    squares = ZERO
    for c in range(row.size):
        difference = _float(row[c]) - mean
        squares += difference * difference
    return mean, ONE / np.sqrt(squares / size + EPSILON)


@_compiled
def begin_step(
    reset: Array, initial: Array, previous: Array, memory: Array, tanh_memory: Array, rounded: Array
) -> None:
    """Select the memory a step starts from, and its tanh for the gates.

    Args:
        reset: bool [B].
        initial: [N, F].
        previous: [B, N, F].
        memory: [B, N, F], filled.
        tanh_memory: [B, N, F], filled; [0, 0, 0] without gates.
        rounded: [B, N, F], filled: the memory once more.
    """
    gated = tanh_memory.size > 0
    rounds = rounded.size > 0
    for b in range(memory.shape[0]):
        for i in range(memory.shape[1]):
            source = initial[i] if reset[b] else previous[b, i]
            target = memory[b, i]
            for c in range(target.size):
                target[c] = source[c]
            if gated:
                tanh_row = tanh_memory[b, i]
                for c in range(target.size):
                    tanh_row[c] = _tanh(source[c])
            if rounds:
                _round_row(source, rounded[b, i])


@_compiled
def _measure_row(row: Array, statistics: Array) -> None:
    """The mean and inverse deviation of one row, into ``statistics`` [2]."""
    statistics[0], statistics[1] = _mean_and_inverse_deviation(row)


@_compiled
def _split_heads(
    pre: Array, statistics: Array, weight: Array, bias: Array, q: Array, k: Array, v: Array, row: int
) -> None:
    """Normalise one row of queries, keys and values [C] and sort it into q, k [H, R, K] and v [H, R, V] at ``row``."""
    mean, inverse = statistics[0], statistics[1]
    keys, values = q.shape[2], v.shape[2]
    stride = 2 * keys + values
    for h in range(q.shape[0]):
        start = h * stride
        part, w, o = pre[start : start + stride], weight[start : start + stride], bias[start : start + stride]
        q_row, k_row, v_row = q[h, row], k[h, row], v[h, row]
        for c in range(keys):
            q_row[c] = (_float(part[c]) - mean) * inverse * w[c] + o[c]
        part_k, w_k, o_k = part[keys:], w[keys:], o[keys:]
        for c in range(keys):
            k_row[c] = (_float(part_k[c]) - mean) * inverse * w_k[c] + o_k[c]
        part_v, w_v, o_v = part[2 * keys :], w[2 * keys :], o[2 * keys :]
        for c in range(values):
            v_row[c] = (_float(part_v[c]) - mean) * inverse * w_v[c] + o_v[c]


@_compiled
def attention_forward(
    pre: Array,
    pre_input: Array,
    rows: Array,
    rows_input: Array,
    scale: Any,
    qkv_weight: Array,
    qkv_bias: Array,
    norm_weight: Array,
    norm_bias: Array,
    key_size: int,
    statistics: Array,
    probabilities: Array,
    normalised: Array,
    inverse_deviation: Array,
    result: Array,
    rounded: Array,
) -> None:
    """Attention, the residual connection and its LayerNorm.

    The rows come in two parts, the first N from one place and n more (n may be 0) from another.

    Args:
        pre: [B, N, C], queries, keys and values before their LayerNorm.
        pre_input: [B, n, C].
        rows: [B, N, F].
        rows_input: [B, n, F].
        scale: factor on the queries.
        qkv_weight: [C], of the LayerNorm over queries, keys and values; ``qkv_bias`` alike.
        norm_weight: [F], of the LayerNorm after the residual connection; ``norm_bias`` alike.
        key_size: K.
        statistics: [B, R, 2], filled: mean and inverse deviation of each row of queries, keys and values.
        probabilities: [B, H, kept, R], filled: the attention weights.
        normalised: [B, kept, F], filled: the result before weight and bias of its LayerNorm.
        inverse_deviation: [B, kept], filled.
        result: [B, kept, F], filled.
        rounded: [B, kept, F], filled: the result once more.
    """
    slots, width = rows.shape[1], rows.shape[2]
    rounds = rounded.size > 0
    heads, kept, total = probabilities.shape[1], probabilities.shape[2], probabilities.shape[3]
    values = width // heads
    q = np.empty((heads, total, key_size), np.float32)
    k = np.empty((heads, total, key_size), np.float32)
    v = np.empty((heads, total, values), np.float32)
    logits = np.empty(heads * kept * total, np.float32)
    read = np.empty((heads, values), np.float32)
    joined = read.reshape(width)
    for b in range(rows.shape[0]):
        for i in range(slots):
            _measure_row(pre[b, i], statistics[b, i])
            _split_heads(pre[b, i], statistics[b, i], qkv_weight, qkv_bias, q, k, v, i)
        for i in range(slots, total):
            _measure_row(pre_input[b, i - slots], statistics[b, i])
            _split_heads(pre_input[b, i - slots], statistics[b, i], qkv_weight, qkv_bias, q, k, v, i)

        place = 0
        for h in range(heads):
            for i in range(kept):
                q_row = q[h, i]
                highest = np.float32(-np.inf)
                for j in range(total):
                    k_row = k[h, j]
                    dot = ZERO
                    for c in range(key_size):
                        dot += q_row[c] * k_row[c]
                    dot *= scale
                    logits[place + j] = dot
                    highest = highest if dot <= highest else dot  # NaN wins
                for j in range(total):
                    logits[place + j] -= highest
                place += total
        weights = probabilities[b].reshape(heads * kept * total)
        for c in range(weights.size):
            weights[c] = _exp(logits[c])

        for i in range(kept):
            for h in range(heads):
                p = probabilities[b, h, i]
                mass = ZERO
                for j in range(total):
                    mass += p[j]
                read_row = read[h]
                for c in range(values):
                    read_row[c] = ZERO
                for j in range(total):
                    p[j] /= mass
                    share, v_row = p[j], v[h, j]
                    for c in range(values):
                        read_row[c] += share * v_row[c]
            old = rows[b, i] if i < slots else rows_input[b, i - slots]
            for c in range(width):
                joined[c] += old[c]
            _norm_row(joined, norm_weight, norm_bias, normalised[b, i], inverse_deviation[b], i, result[b, i])
            if rounds:
                _round_row(result[b, i], rounded[b, i])


@_compiled
def _norm_row(
    x: Array, weight: Array, bias: Array, normalised: Array, inverse_deviation: Array, place: int, result: Array
) -> None:
    mean, inverse = _mean_and_inverse_deviation(x)
    inverse_deviation[place] = inverse
    for c in range(x.size):
        normal = (x[c] - mean) * inverse
        normalised[c] = normal
        result[c] = normal * weight[c] + bias[c]


@_compiled
def norm_forward(
    rows: Array,
    added: Array,
    weight: Array,
    bias: Array,
    normalised: Array,
    inverse_deviation: Array,
    result: Array,
    rounded: Array,
) -> None:
    """LayerNorm(rows + added).

    Args:
        rows: [B, kept, F]; ``added`` alike.
        weight: [F]; ``bias`` alike.
        normalised: [B, kept, F], filled: the result before weight and bias.
        inverse_deviation: [B, kept], filled.
        result: [B, kept, F], filled.
        rounded: [B, kept, F], filled: the result once more.
    """
    rounds = rounded.size > 0
    total = np.empty(rows.shape[2], np.float32)
    for b in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            x, y = rows[b, i], added[b, i]
            for c in range(total.size):
                total[c] = x[c] + _float(y[c])
            _norm_row(total, weight, bias, normalised[b, i], inverse_deviation[b], i, result[b, i])
            if rounds:
                _round_row(result[b, i], rounded[b, i])


@_compiled
def gate_forward(
    attended: Array,
    gate_memory: Array,
    gate_inputs: Array,
    memory: Array,
    tanh_attended: Array,
    gates: Array,
    new_memory: Array,
) -> None:
    """M_t = i ∘ tanh(M̃) + f ∘ M_{t-1}.

    Args:
        attended: [B, N, F], M̃.
        gate_memory: [B, N, 2G], the memory's part of the gates before the sigmoid; G = 1 or F.
        gate_inputs: [B, 1, 2G], the input's part.
        memory: [B, N, F], M_{t-1}.
        tanh_attended: [B, N, F], filled.
        gates: [B, N, 2G], filled: i, then f.
        new_memory: [B, N, F], filled.
    """
    width = memory.shape[2]
    size = gates.shape[2] // 2
    for b in range(memory.shape[0]):
        from_input = gate_inputs[b, 0]
        for s in range(memory.shape[1]):
            gate, from_memory = gates[b, s], gate_memory[b, s]
            for c in range(gate.size):
                gate[c] = _sigmoid(from_memory[c] + from_input[c])
            old, new, x, tanh_row = memory[b, s], new_memory[b, s], attended[b, s], tanh_attended[b, s]
            for c in range(width):
                tanh_row[c] = _tanh(x[c])
            if size == 1:
                write, keep = gate[0], gate[1]
                for c in range(width):
                    new[c] = write * tanh_row[c] + keep * old[c]
            else:
                keep_row = gate[size:]
                for c in range(width):
                    new[c] = gate[c] * tanh_row[c] + keep_row[c] * old[c]


@_compiled
def gate_backward(
    d_new: Array,
    memory: Array,
    tanh_attended: Array,
    gates: Array,
    d_attended: Array,
    d_gates: Array,
    d_memory: Array,
) -> None:
    """Backward of :func:`gate_forward`.

    Args:
        d_new: [B, N, F], gradient of the new memory.
        memory: [B, N, F], M_{t-1}.
        tanh_attended: [B, N, F].
        gates: [B, N, 2G].
        d_attended: [B, N, F], filled.
        d_gates: [B, N, 2G], filled: of the gates before their sigmoid.
        d_memory: [B, N, F], filled: what reaches M_{t-1} past the forget gate.
    """
    width = memory.shape[2]
    size = gates.shape[2] // 2
    for b in range(memory.shape[0]):
        for s in range(memory.shape[1]):
            gate, d_gate, d = gates[b, s], d_gates[b, s], d_new[b, s]
            old, tanh_row, d_x, d_old = memory[b, s], tanh_attended[b, s], d_attended[b, s], d_memory[b, s]
            if size == 1:
                write, keep = gate[0], gate[1]
                d_write = d_keep = ZERO
                for c in range(width):
                    d_write += d[c] * tanh_row[c]
                    d_keep += d[c] * old[c]
                    d_x[c] = d[c] * write * (ONE - tanh_row[c] * tanh_row[c])
                    d_old[c] = d[c] * keep
                d_gate[0] = d_write * write * (ONE - write)
                d_gate[1] = d_keep * keep * (ONE - keep)
            else:
                keep_row, d_keep_row = gate[size:], d_gate[size:]
                for c in range(width):
                    write, keep = gate[c], keep_row[c]
                    d_gate[c] = d[c] * tanh_row[c] * write * (ONE - write)
                    d_keep_row[c] = d[c] * old[c] * keep * (ONE - keep)
                    d_x[c] = d[c] * write * (ONE - tanh_row[c] * tanh_row[c])
                    d_old[c] = d[c] * keep


@_compiled
def _norm_row_backward(
    d: Array, normalised: Array, inverse: Any, weight: Array, d_weight: Array, d_bias: Array, result: Array
) -> None:
    """The gradient of a LayerNorm's input row from that of its output; ``d_weight`` and ``d_bias`` are added to."""
    size = np.float32(d.size)
    mean = mean_product = ZERO
    for c in range(d.size):
        weighted = d[c] * weight[c]
        mean += weighted
        mean_product += weighted * normalised[c]
        d_weight[c] += d[c] * normalised[c]
        d_bias[c] += d[c]
    mean /= size
    mean_product /= size
    for c in range(d.size):
        result[c] = inverse * (d[c] * weight[c] - mean - normalised[c] * mean_product)


@_compiled
def norm_backward(
    d: Array,
    normalised: Array,
    inverse_deviation: Array,
    weight: Array,
    d_weight: Array,
    d_bias: Array,
    d_total: Array,
    rounded: Array,
) -> None:
    """Backward of :func:`norm_forward`.

    Args:
        d: [B, kept, F], gradient of the result.
        normalised: [B, kept, F].
        inverse_deviation: [B, kept].
        weight: [F].
        d_weight: [F], added to; ``d_bias`` alike.
        d_total: [B, kept, F], filled: gradient of rows + added.
        rounded: [B, kept, F], filled: the same once more.
    """
    rounds = rounded.size > 0
    step_weight, step_bias = np.zeros(weight.size, np.float32), np.zeros(weight.size, np.float32)
    for b in range(d.shape[0]):
        for i in range(d.shape[1]):
            inverse = inverse_deviation[b, i]
            _norm_row_backward(d[b, i], normalised[b, i], inverse, weight, step_weight, step_bias, d_total[b, i])
            if rounds:
                _round_row(d_total[b, i], rounded[b, i])
    for c in range(weight.size):
        d_weight[c] += step_weight[c]
        d_bias[c] += step_bias[c]


@_compiled
def relu_backward(d: Array, result: Array, d_input: Array) -> None:
    """The gradient of a ReLU's input, from that of its ``result``; all [B, kept, F] and of one type.

    The 16-bit integers of bfloat16s have their signs.
    """
    zero = d.dtype.type(0)
    for b in range(d.shape[0]):
        for i in range(d.shape[1]):
            one, own, target = d[b, i], result[b, i], d_input[b, i]
            for c in range(target.size):
                target[c] = one[c] if own[c] > zero else zero


@_compiled
def _join_heads(
    pre: Array, statistics: Array, d_q: Array, d_k: Array, d_v: Array, row: int, normal: Array, d_normal: Array
) -> None:
    """The inverse of :func:`_split_heads` for gradients, into ``d_normal`` [C]; and the row normalised, ``normal``."""
    keys, values = d_q.shape[2], d_v.shape[2]
    stride = 2 * keys + values
    mean, inverse = statistics[0], statistics[1]
    for c in range(pre.size):
        normal[c] = (_float(pre[c]) - mean) * inverse
    for h in range(d_q.shape[0]):
        part = d_normal[h * stride : (h + 1) * stride]
        part_k, part_v = part[keys:], part[2 * keys :]
        q_row, k_row, v_row = d_q[h, row], d_k[h, row], d_v[h, row]
        for c in range(keys):
            part[c] = q_row[c]
        for c in range(keys):
            part_k[c] = k_row[c]
        for c in range(values):
            part_v[c] = v_row[c]


@_compiled
def attention_backward(
    d: Array,
    d_added: Array,
    pre: Array,
    pre_input: Array,
    scale: Any,
    qkv_weight: Array,
    qkv_bias: Array,
    norm_weight: Array,
    key_size: int,
    statistics: Array,
    probabilities: Array,
    normalised: Array,
    inverse_deviation: Array,
    d_qkv_weight: Array,
    d_qkv_bias: Array,
    d_norm_weight: Array,
    d_norm_bias: Array,
    d_projection_bias: Array,
    d_rows: Array,
    d_pre: Array,
    d_pre_input: Array,
) -> None:
    """Backward of :func:`attention_forward`, whose arguments it shares.

    Args:
        d: [B, kept, F], gradient of the result, one part of it; ``d_added`` the other.
        d_qkv_weight: [C], added to; ``d_qkv_bias``, ``d_norm_weight`` [F], ``d_norm_bias`` [F] alike.
        d_projection_bias: [C], added to: the gradients of ``pre``, summed over its rows.
        d_rows: [B, kept, F], filled: what reaches the kept rows past the attention.
        d_pre: [B, N, C], filled.
        d_pre_input: [B, n, C], filled.
    """
    slots, width = pre.shape[1], d.shape[2]
    heads, kept, total = probabilities.shape[1], probabilities.shape[2], probabilities.shape[3]
    values = width // heads
    q = np.empty((heads, total, key_size), np.float32)
    k = np.empty((heads, total, key_size), np.float32)
    v = np.empty((heads, total, values), np.float32)
    d_q = np.empty((heads, total, key_size), np.float32)
    d_k = np.empty((heads, total, key_size), np.float32)
    d_v = np.empty((heads, total, values), np.float32)
    d_logits = np.empty(total, np.float32)
    d_row, normal = np.empty(width, np.float32), np.empty(pre.shape[2], np.float32)
    d_normal, d_whole = np.empty_like(normal), np.empty_like(normal)
    step_qkv_weight, step_qkv_bias = np.zeros(pre.shape[2], np.float32), np.zeros(pre.shape[2], np.float32)
    step_weight, step_bias = np.zeros(width, np.float32), np.zeros(width, np.float32)
    step_projection_bias = np.zeros(pre.shape[2], np.float32)
    for b in range(d.shape[0]):
        for i in range(slots):
            _split_heads(pre[b, i], statistics[b, i], qkv_weight, qkv_bias, q, k, v, i)
        for i in range(slots, total):
            _split_heads(pre_input[b, i - slots], statistics[b, i], qkv_weight, qkv_bias, q, k, v, i)
        d_q[:] = ZERO
        d_k[:] = ZERO
        d_v[:] = ZERO
        for i in range(kept):
            one, other = d[b, i], d_added[b, i]
            for c in range(width):
                d_row[c] = one[c] + _float(other[c])
            d_sum = d_rows[b, i]
            _norm_row_backward(
                d_row, normalised[b, i], inverse_deviation[b, i], norm_weight, step_weight, step_bias, d_sum
            )
            for h in range(heads):
                p = probabilities[b, h, i]
                d_read = d_sum[h * values : (h + 1) * values]
                mean = ZERO
                for j in range(total):
                    v_row, d_v_row, share = v[h, j], d_v[h, j], p[j]
                    dot = ZERO
                    for c in range(values):
                        dot += d_read[c] * v_row[c]
                        d_v_row[c] += share * d_read[c]
                    d_logits[j] = dot
                    mean += share * dot
                q_row, d_q_row = q[h, i], d_q[h, i]
                for j in range(total):
                    slope = scale * p[j] * (d_logits[j] - mean)
                    k_row, d_k_row = k[h, j], d_k[h, j]
                    for c in range(key_size):
                        d_q_row[c] += slope * k_row[c]
                        d_k_row[c] += slope * q_row[c]
        for i in range(slots):
            _join_heads(pre[b, i], statistics[b, i], d_q, d_k, d_v, i, normal, d_normal)
            inverse = statistics[b, i, 1]
            _norm_row_backward(d_normal, normal, inverse, qkv_weight, step_qkv_weight, step_qkv_bias, d_whole)
            _round_row(d_whole, d_pre[b, i])
            for c in range(d_whole.size):
                step_projection_bias[c] += d_whole[c]
        for i in range(slots, total):
            _join_heads(pre_input[b, i - slots], statistics[b, i], d_q, d_k, d_v, i, normal, d_normal)
            inverse, target_input = statistics[b, i, 1], d_pre_input[b, i - slots]
            _norm_row_backward(d_normal, normal, inverse, qkv_weight, step_qkv_weight, step_qkv_bias, target_input)
    for c in range(step_qkv_weight.size):
        d_qkv_weight[c] += step_qkv_weight[c]
        d_qkv_bias[c] += step_qkv_bias[c]
        d_projection_bias[c] += step_projection_bias[c]
    for c in range(width):
        d_norm_weight[c] += step_weight[c]
        d_norm_bias[c] += step_bias[c]


@_compiled
def end_step_backward(
    reset: Array,
    d_memory: Array,
    d_rows: Array,
    d_projected: Array,
    d_tanh_memory: Array,
    tanh_memory: Array,
    result: Array,
) -> None:
    """Join what reaches the memory a step started from; nothing goes past a reset.

    Args:
        reset: bool [B].
        d_memory: [B, N, F], past the forget gate; [0, 0, 0] without gates.
        d_rows: [B, at least N, F], past the attention.
        d_projected: [B, at least N, F], through queries, keys and values.
        d_tanh_memory: [B, N, F], through the gates; [0, 0, 0] without gates. ``tanh_memory`` alike.
        result: [B, N, F], added to.
    """
    gated = tanh_memory.size > 0
    for b in range(result.shape[0]):
        if reset[b]:
            continue
        for i in range(result.shape[1]):
            target, past, through = result[b, i], d_rows[b, i], d_projected[b, i]
            for c in range(target.size):
                target[c] += past[c] + _float(through[c])
            if gated:
                kept, d_tanh, tanh_row = d_memory[b, i], d_tanh_memory[b, i], tanh_memory[b, i]
                for c in range(target.size):
                    target[c] += kept[c] + d_tanh[c] * (ONE - tanh_row[c] * tanh_row[c])
