"""The fast paths of the Relational Memory Core and the LSTM: whole unrolls, without autograd in the loop.

``rmc.py`` and ``lstm.py`` are the definitions; what is here computes the same, forward and backward (tests compare both
with float64), and nothing needs it. ``products.py`` multiplies matrices. Of the RMC ``kernels.py`` (numba) does what
lies between on the CPU and ``kernels_torch.py`` on other devices, ``unroll.py`` joins them over time, ``recorded.py``
has a GPU do it all at one command. Of the LSTM, on the CPU, these are ``lstm_kernels.py`` and ``lstm.py``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_PLAIN = (Tensor, nn.Parameter)  # not their subclasses, which may stand for something else


@functools.cache
def has_kernels() -> bool:
    """Whether numba is here and works; where it does not, that is said once."""
    try:
        from rmc_agents.fast import kernels  # noqa: F401
    except ModuleNotFoundError:
        return False
    except (ImportError, RuntimeError) as error:
        warnings.warn(f"the memory's fast path is not used, for numba does not work here: {error}", stacklevel=2)
        return False
    return True


def plain(modules: Iterable[nn.Module], tensors: Iterable[Tensor], without_bias: Iterable[nn.Module] = ()) -> bool:
    """Whether a compiled path may stand in for these modules, called with these tensors.

    It knows float32, on the CPU and on a GPU. Modules that are traced, compiled, exported, transformed, watched by a
    mode or carry hooks are left to PyTorch, which could not look inside. Every parameter must be there but for the bias
    of those ``without_bias``, which must not.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:  # within torch.func.vmap, grad and the like
        return False
    if torch._C._len_torch_dispatch_stack() or nn.modules.module._has_any_global_hook():
        return False
    floating, without = list(tensors), set(without_bias)
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return False
        for name, parameter in module._parameters.items():
            if (parameter is None) != (name == "bias" and module in without):
                return False
            if parameter is not None:
                floating.append(parameter)
    device = floating[0].device
    return device.type in ("cpu", "cuda") and all(
        type(t) in _PLAIN and t.device == device and t.dtype == torch.float32 for t in floating
    )
