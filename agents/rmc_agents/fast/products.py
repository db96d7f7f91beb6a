"""Matrix products of float32 on the CPU at the machine's speed.

PyTorch hands them to MKL, which on processors of other makers leaves half of their vector units idle; oneDNN, which
PyTorch carries too and uses for convolutions, does not. Where it is there, products large enough to be worth its start
go to it: the same sums in another order. Everything else (other devices and types, small products, a PyTorch without
oneDNN) is PyTorch's own ``linear``.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LEAST_MULTIPLICATIONS = 2**19
"""Below this oneDNN's start (about 10 µs) costs more than it saves."""


@functools.cache
def has_onednn() -> bool:
    """Whether this PyTorch multiplies matrices with oneDNN, correctly."""
    if not torch.backends.mkldnn.is_available():
        return False
    options: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    a, b = torch.linspace(-1, 1, 32, **options).view(8, 4), torch.linspace(2, -3, 24, **options).view(6, 4)
    try:
        return torch.allclose(torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""), a @ b.T, atol=1e-5)
    except (AttributeError, RuntimeError):
        return False


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x @ weight^T + bias, then max(., 0) if ``relu``; without autograd.

    Args:
        x: ``[..., I]``.
        weight: ``[O, I]``; transposed views are as fast as others. A bfloat16 one has x rounded to bfloat16 too, and
            the result, which is summed in float32, once more.
        bias: ``[O]``, of the type of ``weight``.
        relu: whether negative results become zero.

    Returns:
        ``[..., O]``, of the type of x.
    """
    if weight.dtype != x.dtype:
        result = F.linear(x.to(weight.dtype), weight, bias)
        return (result.relu_() if relu else result).to(x.dtype)
    worth_it = x.numel() * weight.shape[0] >= LEAST_MULTIPLICATIONS
    if worth_it and x.device.type == "cpu" and x.dtype == torch.float32 and has_onednn():
        # It takes no heed of the bias's stride; and its own ReLU would turn NaN into 0.
        bias = None if bias is None else bias.contiguous()
        result = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    else:
        result = F.linear(x, weight, bias)
    return result.relu_() if relu else result


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
            d_x = product(gradient, weight.to(ctx.dtype).T) if ctx.needs_input_grad[0] else None
            d_weight = weight_gradient(x, gradient, ctx.dtype) if ctx.needs_input_grad[1] else None
            d_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
        return d_x, d_weight, d_bias, None


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """``torch.nn.functional.linear`` with :func:`product` forward and backward; differentiable once.

    ``dtype`` is that of the products; x and the result are float32.
    """
    if torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias, dtype)
    return product(x, weight.to(dtype), bias.to(dtype))


def weight_gradient(x: Tensor, gradient: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The gradient of ``weight`` in x @ weight^T from that of the result: sum over rows of gradient ⊗ x, ``[O, I]``."""
    if dtype != x.dtype:
        return (gradient.flatten(0, -2).to(dtype).T @ x.flatten(0, -2).to(dtype)).to(x.dtype)
    # This way round the longer operand is the one that oneDNN need not reorder.
    return product(x.flatten(0, -2).T, gradient.flatten(0, -2).T).T
