"""Matrix products of float32 and bfloat16 on the CPU at the machine's speed.

PyTorch hands them to MKL, which on processors of other makers leaves half of their vector units idle; oneDNN, which
PyTorch carries too and uses for convolutions, does not. Where it is there, products large enough to be worth its start
go to it: the same sums in another order. Everything else (other devices and types, small products, a PyTorch without
oneDNN) is PyTorch's own ``linear``, which for bfloat16 is oneDNN with a detour.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Multiply = Callable[[Tensor], Tensor]
_OF_ONEDNN = (torch.float32, torch.bfloat16)
LEAST_MULTIPLICATIONS = 2**19
"""Below this oneDNN's start (about 10 µs) costs more than it saves."""


@functools.cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Whether this PyTorch multiplies matrices of this type with oneDNN on this processor, correctly."""
    if not torch.backends.mkldnn.is_available():
        return False
    a, b = (torch.arange(start, start + 32.0, device="cpu").view(8, 4).to(dtype) for start in (-16, -9))
    try:
        return torch.equal(torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""), a @ b.T)
    except (AttributeError, RuntimeError):
        return False


def multiplier(weight: Tensor, bias: Tensor | None, rows: int) -> Multiply:
    """What computes x @ weight^T + bias without autograd, for x of ``rows`` rows and of the type of ``weight``.

    To be asked for once where there are many such products: how to multiply is decided here.

    Args:
        weight: ``[O, I]``; transposed views are as fast as others.
        bias: ``[O]``, of the type of ``weight``.
        rows: of x ``[..., I]``, all axes but the last taken together.
    """
    worth_it = rows * weight.numel() >= LEAST_MULTIPLICATIONS
    if worth_it and weight.device.type == "cpu" and weight.dtype in _OF_ONEDNN and has_onednn(weight.dtype):
        own_bias = None if bias is None else bias.contiguous()  # of whose stride it takes no heed
        pointwise = torch.ops.mkldnn._linear_pointwise.default
        return lambda x: pointwise(x, weight, own_bias, "none", [], "")
    return lambda x: F.linear(x, weight, bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight^T + bias; without autograd.

    Args:
        x: ``[..., I]``.
        weight: ``[O, I]``; transposed views are as fast as others. A bfloat16 one has x rounded to bfloat16 too, and
            the result, which is summed in float32, once more.
        bias: ``[O]``, of the type of ``weight``.

    Returns:
        ``[..., O]``, of the type of x.
    """
    result = multiplier(weight, bias, x.numel() // weight.shape[1])(x.to(weight.dtype))
    return result.to(x.dtype)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dtype = dtype
        return product(x, weight.to(dtype), bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):  # where backward is called says nothing of how forward was
            d = gradient.to(ctx.dtype)
            d_x = product(d, weight.to(ctx.dtype).T).to(x.dtype) if ctx.needs_input_grad[0] else None
            d_weight = weight_gradient(x.to(ctx.dtype), d).to(x.dtype) if ctx.needs_input_grad[1] else None
            d_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
        return d_x, d_weight, d_bias, None


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """``torch.nn.functional.linear`` with :func:`product` forward and backward; differentiable once.

    ``dtype`` is that of the products; x and the result are float32.
    """
    if torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias, dtype)
    return product(x, weight.to(dtype), bias.to(dtype))


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of ``weight`` in x @ weight^T from that of the result: sum over rows of gradient ⊗ x, ``[O, I]``.

    Both are of one type, and so is what comes out.
    """
    rows, d_rows = x.flatten(0, -2), gradient.flatten(0, -2)
    if x.dtype == torch.bfloat16:
        return d_rows.T @ rows
    # This way round the longer operand is the one that oneDNN need not reorder.
    if d_rows.shape[1] < rows.shape[1]:
        return product(d_rows.T, rows.T)
    return product(rows.T, d_rows.T).T
