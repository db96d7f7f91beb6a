"""Gradients of a batch that is worked through in parts, on several threads and by several learners."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

Part = TypeVar("Part")
Gradients = tuple[tuple[Tensor | None, ...], Tensor]
"""A part's share: the gradient of each parameter, None where it has no influence, and figures to be added up."""


def alone(tensors: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor over all learners, where there is one."""
    return tensors


class GradientSum:
    """Adds up what the parts of a batch give, in their order: the same bits on any number of threads.

    A part's working set stays small, and each goes to whichever of the threads is free.

    Args:
        parameters: whose ``grad`` is set.
        threads: parts worked on at a time, on the CPU; 1 for a GPU.
        all_reduce: gives the sum of each tensor over all learners that share a batch (`rmc_rl.impala.data_parallel`).
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        threads: int = 1,
        all_reduce: Callable[[list[Tensor]], list[Tensor]] = alone,
    ) -> None:
        self.parameters = parameters
        self.all_reduce = all_reduce
        self._threads: ThreadPoolExecutor | None = None
        if threads > 1:
            # Each with one of torch's own threads; a new thread would take as many as the machine has cores.
            self._threads = ThreadPoolExecutor(threads, "learner", functools.partial(torch.set_num_threads, 1))

    def put(self, parts: Iterable[Part], work: Callable[[Part], Gradients]) -> Tensor:
        """Set every parameter's ``grad`` to the sum over all parts; returns the sum of their figures."""
        done = map(work, parts) if self._threads is None else self._threads.map(work, parts)
        total, figures = next(done)
        for gradients, more in done:
            figures = figures + more
            # A parameter without influence has no gradient in any part.
            torch._foreach_add_([x for x in total if x is not None], [x for x in gradients if x is not None])
        *summed, figures = self.all_reduce([*(x for x in total if x is not None), figures])
        gradient = iter(summed)
        for parameter, own in zip(self.parameters, total, strict=True):
            parameter.grad = None if own is None else next(gradient)
        return figures
