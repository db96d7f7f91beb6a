"""The same as :mod:`rmc_agents.fast.kernels`, in PyTorch's operations: for devices that numba does not know.

Function by function the same names, arguments and results, on tensors instead of arrays; nothing here waits for the
device or depends on values, so that a CUDA graph can record it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5  # of every LayerNorm: rmc_agents.rmc.LAYER_NORM_EPSILON


def view(tensor: Tensor) -> Tensor:
    """What the functions here take for a tensor: itself, in order."""
    return tensor.detach().contiguous()


def number(value: float) -> float:
    """What the functions here take for a number."""
    return value


def begin_step(
    reset: Tensor, initial: Tensor, previous: Tensor, memory: Tensor, tanh_memory: Tensor, rounded: Tensor
) -> None:
    """Select the memory a step starts from, and its tanh for the gates."""
    memory.copy_(torch.where(reset[:, None, None], initial, previous))
    if tanh_memory.numel() > 0:
        torch.tanh(memory, out=tanh_memory)
    _round(memory, rounded)


def attention_forward(
    pre: Tensor,
    pre_input: Tensor,
    rows: Tensor,
    rows_input: Tensor,
    scale: float,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    key_size: int,
    statistics: Tensor,
    probabilities: Tensor,
    normalised: Tensor,
    inverse_deviation: Tensor,
    result: Tensor,
    rounded: Tensor,
) -> None:
    """Attention, the residual connection and its LayerNorm."""
    kept = probabilities.shape[2]
    whole = torch.cat([pre, pre_input], dim=1)  # [B, R, C]
    statistics[..., 0] = whole.mean(-1)
    statistics[..., 1] = (whole.var(-1, correction=0) + EPSILON).rsqrt()
    q, k, v = _heads(_normal(whole, statistics) * qkv_weight + qkv_bias, probabilities.shape[1], key_size)
    probabilities.copy_(torch.softmax(scale * q[:, :, :kept] @ k.transpose(-1, -2), dim=-1))
    read = (probabilities @ v).transpose(1, 2).flatten(2)  # [B, kept, F]
    _norm(torch.cat([rows, rows_input], dim=1)[:, :kept] + read, normalised, inverse_deviation)
    torch.addcmul(norm_bias, normalised, norm_weight, out=result)
    _round(result, rounded)


def norm_forward(
    rows: Tensor,
    added: Tensor,
    weight: Tensor,
    bias: Tensor,
    normalised: Tensor,
    inverse_deviation: Tensor,
    result: Tensor,
    rounded: Tensor,
) -> None:
    """LayerNorm(rows + added)."""
    _norm(rows + added, normalised, inverse_deviation)
    torch.addcmul(bias, normalised, weight, out=result)
    _round(result, rounded)


def gate_forward(
    attended: Tensor,
    gate_memory: Tensor,
    gate_inputs: Tensor,
    memory: Tensor,
    tanh_attended: Tensor,
    gates: Tensor,
    new_memory: Tensor,
) -> None:
    """M_t = i ∘ tanh(M̃) + f ∘ M_{t-1}."""
    torch.sigmoid(gate_memory + gate_inputs, out=gates)
    torch.tanh(attended, out=tanh_attended)
    write, keep = gates.chunk(2, dim=-1)
    torch.addcmul(write * tanh_attended, keep, memory, out=new_memory)


def gate_backward(
    d_new: Tensor,
    memory: Tensor,
    tanh_attended: Tensor,
    gates: Tensor,
    d_attended: Tensor,
    d_gates: Tensor,
    d_memory: Tensor,
) -> None:
    """Backward of :func:`gate_forward`."""
    write, keep = gates.chunk(2, dim=-1)
    d_write, d_keep = d_new * tanh_attended, d_new * memory
    if write.shape[-1] == 1:
        d_write, d_keep = d_write.sum(-1, keepdim=True), d_keep.sum(-1, keepdim=True)
    d_gates.copy_(torch.cat([d_write, d_keep], dim=-1) * gates * (1 - gates))
    d_attended.copy_(d_new * write * (1 - tanh_attended * tanh_attended))
    torch.mul(d_new, keep, out=d_memory)


def norm_backward(
    d: Tensor,
    normalised: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor,
    d_weight: Tensor,
    d_bias: Tensor,
    d_total: Tensor,
    rounded: Tensor,
) -> None:
    """Backward of :func:`norm_forward`."""
    d_weight.add_((d * normalised).sum((0, 1)))
    d_bias.add_(d.sum((0, 1)))
    d_total.copy_(_norm_backward(d * weight, normalised, inverse_deviation.unsqueeze(-1)))
    _round(d_total, rounded)


def relu_backward(d: Tensor, result: Tensor, d_input: Tensor) -> None:
    """The gradient of a ReLU's input, from that of its ``result``."""
    d_input.copy_(torch.where(result > 0, d, 0.0))


def attention_backward(
    d: Tensor,
    d_added: Tensor,
    pre: Tensor,
    pre_input: Tensor,
    scale: float,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    norm_weight: Tensor,
    key_size: int,
    statistics: Tensor,
    probabilities: Tensor,
    normalised: Tensor,
    inverse_deviation: Tensor,
    d_qkv_weight: Tensor,
    d_qkv_bias: Tensor,
    d_norm_weight: Tensor,
    d_norm_bias: Tensor,
    d_projection_bias: Tensor,
    d_rows: Tensor,
    d_pre: Tensor,
    d_pre_input: Tensor,
) -> None:
    """Backward of :func:`attention_forward`."""
    heads, kept, total = probabilities.shape[1:]
    nothing = d.new_empty(0)
    norm_backward(d + d_added, normalised, inverse_deviation, norm_weight, d_norm_weight, d_norm_bias, d_rows, nothing)
    normal = _normal(torch.cat([pre, pre_input], dim=1), statistics)
    q, k, v = _heads(normal * qkv_weight + qkv_bias, heads, key_size)
    d_read = d_rows.unflatten(-1, (heads, -1)).transpose(1, 2)  # [B, H, kept, V]
    d_probabilities = d_read @ v.transpose(-1, -2)
    mean = (probabilities * d_probabilities).sum(-1, keepdim=True)
    d_logits = scale * probabilities * (d_probabilities - mean)
    d_q = F.pad(d_logits @ k, (0, 0, 0, total - kept))  # rows that are not kept ask nothing
    d_k = d_logits.transpose(-1, -2) @ q[:, :, :kept]
    d_v = probabilities.transpose(-1, -2) @ d_read
    d_qkv = torch.cat([d_q, d_k, d_v], dim=-1).transpose(1, 2).flatten(2)  # [B, R, C]
    d_qkv_weight.add_((d_qkv * normal).sum((0, 1)))
    d_qkv_bias.add_(d_qkv.sum((0, 1)))
    d_whole = _norm_backward(d_qkv * qkv_weight, normal, statistics[..., 1:])
    slots = pre.shape[1]
    d_pre.copy_(d_whole[:, :slots])
    d_pre_input.copy_(d_whole[:, slots:])
    d_projection_bias.add_(d_whole[:, :slots].sum((0, 1)))


def end_step_backward(
    reset: Tensor,
    d_memory: Tensor,
    d_rows: Tensor,
    d_projected: Tensor,
    d_tanh_memory: Tensor,
    tanh_memory: Tensor,
    result: Tensor,
) -> None:
    """Join what reaches the memory a step started from; nothing goes past a reset."""
    slots = result.shape[1]
    total = d_rows[:, :slots] + d_projected[:, :slots]
    if tanh_memory.numel() > 0:
        total = total + d_memory + d_tanh_memory * (1 - tanh_memory * tanh_memory)
    result.add_(torch.where(reset[:, None, None], 0.0, total))


def _round(rows: Tensor, rounded: Tensor) -> None:
    """Into what the next product takes, where it is of another type."""
    if rounded.numel() > 0:
        rounded.copy_(rows)


def _normal(rows: Tensor, statistics: Tensor) -> Tensor:
    return (rows - statistics[..., :1]) * statistics[..., 1:]


def _norm(rows: Tensor, normalised: Tensor, inverse_deviation: Tensor) -> None:
    inverse_deviation.copy_((rows.var(-1, correction=0) + EPSILON).rsqrt())
    torch.mul(rows - rows.mean(-1, keepdim=True), inverse_deviation.unsqueeze(-1), out=normalised)


def _norm_backward(weighted: Tensor, normalised: Tensor, inverse: Tensor) -> Tensor:
    """The gradient of a LayerNorm's input from that of its normalised rows."""
    along = (weighted * normalised).mean(-1, keepdim=True)
    return inverse * (weighted - weighted.mean(-1, keepdim=True) - normalised * along)


def _heads(qkv: Tensor, heads: int, key_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys [B, H, R, K] and values [B, H, R, V] of rows [B, R, C]."""
    parts = qkv.unflatten(-1, (heads, -1)).transpose(1, 2)
    return parts[..., :key_size], parts[..., key_size : 2 * key_size], parts[..., 2 * key_size :]
