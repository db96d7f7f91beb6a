"""Unrolls recorded once and replayed: on a GPU the steps' many small operations cost more to start than to compute.

A :class:`Recording` holds the forward and the backward pass of one shape of unroll as CUDA graphs over tensors of its
own: what comes in is copied there, what goes out is copied from there. Between a forward pass and its backward pass it
belongs to that pass; a second pass meanwhile takes another recording. The recordings of a shape are few: where all are
taken, the pass is computed without one. Parameters are read where they lie, so an optimiser's step is seen.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

RECORDINGS_PER_SHAPE = 4
SHAPES_KEPT = 8
WARM_UP_RUNS = 3

Replay = Callable[[], None]
Record = Callable[[Callable[[], list[Tensor]]], tuple[Replay, list[Tensor]]]
"""Takes work, returns what does it again, and the tensors that hold its results each time."""


def cuda_graph(work: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
    """Record ``work`` as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_RUNS):  # libraries set themselves up, which cannot be recorded
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = work()
    return graph.replay, results


class Pass:
    """One forward pass and the backward pass that may follow; a recording is free again once this is gone."""


class Recording:
    """Forward and backward of one shape of unroll.

    Args:
        inputs: what comes in; only shapes, types and device matter.
        forward: computes the results from such inputs; the first is the output.
        backward: computes the gradients from the inputs, the forward pass's results and their gradients, of which
            there are as many as ``d_results``; None if there will be no backward pass.
        d_results: like the gradients that come in.
        record: how work is recorded.
    """

    def __init__(
        self,
        inputs: list[Tensor],
        forward: Callable[[list[Tensor]], list[Tensor]],
        backward: Callable[[list[Tensor], list[Tensor], list[Tensor]], list[Tensor]] | None,
        d_results: list[Tensor],
        record: Record,
    ) -> None:
        # It outlives the mode it is made in, and what is made in inference mode cannot be filled outside.
        with torch.inference_mode(False), torch.no_grad():
            self._inputs = [torch.zeros_like(tensor) for tensor in inputs]
            self._replay_forward, self._results = record(lambda: forward(self._inputs))
            self._d_results = [torch.zeros_like(tensor) for tensor in d_results]
            if backward is not None:
                self._replay_backward, self._gradients = record(
                    lambda: backward(self._inputs, self._results, self._d_results)
                )
        self._owner: weakref.ref[Pass] | None = None

    @property
    def is_free(self) -> bool:
        """Whether no pass is under way."""
        return self._owner is None or self._owner() is None

    def forward(self, owner: Pass, inputs: list[Tensor]) -> Tensor:
        """The output for these inputs; the recording is the owner's until its backward pass or its end."""
        self._owner = weakref.ref(owner)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay_forward()
        return self._results[0].clone()

    def backward(self, owner: Pass, d_results: list[Tensor]) -> list[Tensor]:
        """The gradients for the owner's forward pass.

        Raises:
            RuntimeError: another pass has used the recording since, for this one was already gone back through.
        """
        if self._owner is None or self._owner() is not owner:
            raise RuntimeError("the backward pass of a recorded unroll cannot be made a second time: fast=False can")
        for own, given in zip(self._d_results, d_results, strict=True):
            own.copy_(given)
        self._replay_backward()
        self._owner = None
        return [gradient.clone() for gradient in self._gradients]


class Recordings:
    """The recordings of a process, by whatever tells one kind of unroll from another."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, list[Recording]] = OrderedDict()
        self._given_up = False

    def take(self, key: Any, make: Callable[[], Recording]) -> Recording | None:
        """A free recording of this kind, made if need be; None if all are taken, or recording does not work here."""
        if self._given_up:
            return None
        recordings = self._kept.setdefault(key, [])
        self._kept.move_to_end(key)
        if len(self._kept) > SHAPES_KEPT:
            self._kept.popitem(last=False)
        for recording in recordings:
            if recording.is_free:
                return recording
        if len(recordings) == RECORDINGS_PER_SHAPE:
            return None
        try:
            recordings.append(make())
        except RuntimeError as error:  # CUDA's errors, out of memory among them
            self._given_up = True
            warnings.warn(f"unrolls are not recorded as CUDA graphs from here on: {error}", stacklevel=2)
            return None
        return recordings[-1]
