"""The fast path of the Relational Memory Core: whole unrolls, forward and backward, without autograd in the loop.

``rmc.py`` is the definition; what is here computes the same (tests compare both with float64), and nothing needs it.
``products.py`` multiplies matrices, ``kernels.py`` (numba) does what lies between, ``unroll.py`` joins them over time.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_PARTS = ("ModuleList", "AttentionBlock", "Linear", "LayerNorm", "Sequential", "ReLU")
"""What a relational memory is made of."""
_PLAIN = (Tensor, nn.Parameter)  # not their subclasses, which may stand for something else


@functools.cache
def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def available(module: nn.Module, tensors: Iterable[Tensor]) -> bool:
    """Whether the fast path can stand in for ``module``, called with these tensors.

    It knows float32 on the CPU and needs numba. A module that is traced, compiled, exported, transformed, carries hooks
    or has had a part replaced by another kind is left to PyTorch, which could not look inside.
    """
    if not _has_numba() or torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:  # within torch.func.vmap, grad and the like
        return False
    modules, parameters = [module], list(tensors)
    for child in modules:  # module.modules() and .parameters() would take a tenth of a small step
        if child is not module and type(child).__name__ not in _PARTS:
            return False
        if child._forward_hooks or child._forward_pre_hooks or child._backward_hooks or child._backward_pre_hooks:
            return False
        modules += [grandchild for grandchild in child._modules.values() if grandchild is not None]
        parameters += [parameter for parameter in child._parameters.values() if parameter is not None]
    return all(
        type(tensor) in _PLAIN and tensor.device.type == "cpu" and tensor.dtype == torch.float32
        for tensor in parameters
    )
