"""Recordings, with a recorder that does the work again instead of having a GPU replay it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from rmc_agents import RelationalMemory
from rmc_agents.fast import kernels_torch, recorded
from rmc_agents.fast import unroll as fast_unroll
from rmc_agents.fast.recorded import Pass, Recording, Recordings
from tests.recorder import again

STEPS, BATCH, INPUT_SIZE = 5, 4, 6


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> Recordings:
    """Has every unroll recorded, on this device."""
    kept = Recordings()
    monkeypatch.setattr(fast_unroll, "_operations", lambda tensor: kernels_torch)

    def recording(sizes: Any, given: list[Tensor], parameters: Any, *, keep: bool) -> Any:
        tensors = [tensor.detach() for tensor in parameters.flat()]
        key = (sizes, keep, *(t.shape for t in given), *(t.data_ptr() for t in tensors))
        return kept.take(key, lambda: fast_unroll.record(sizes, given, tensors, again, keep=keep))

    monkeypatch.setattr(fast_unroll, "_recording", recording)
    return kept


def build(**options: Any) -> RelationalMemory:
    torch.manual_seed(0)
    return RelationalMemory(INPUT_SIZE, mem_slots=3, head_size=4, num_heads=2, **options)


def arguments(core: RelationalMemory, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    inputs = torch.randn(STEPS, BATCH, INPUT_SIZE, requires_grad=True)
    memory = torch.randn(BATCH, core.mem_slots, core.mem_size, requires_grad=True)
    return inputs, memory, torch.rand(STEPS, BATCH) < 0.3


def everything(core: RelationalMemory, given: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    core.zero_grad()
    inputs, memory, _ = given
    inputs.grad = memory.grad = None
    outputs, final = core(*given)
    (outputs.square().sum() + final.sum()).backward()
    gradients = [tensor.grad for tensor in (inputs, memory, *core.parameters())]
    return [outputs.detach(), final.detach(), *(g.clone() for g in gradients if g is not None)]


@pytest.mark.parametrize("options", [{}, {"gate_style": "memory", "num_blocks": 2}, {"gate_style": None}])
def test_replays_equal_the_reference(recordings: Recordings, options: dict[str, Any]) -> None:
    core, reference = build(**options), build(**options, fast=False)
    for seed in range(3):
        given = arguments(core, seed)
        for own, other in zip(everything(core, given), everything(reference, given), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-3)  # processors round, and fuse, differently
    assert [len(kept) for kept in recordings._kept.values()] == [1]  # one recording served all three


def test_a_replay_reads_nothing_of_what_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that may be gone: all that comes in, the initial memory among it, is of each pass's own."""
    core = build()
    seen: list[Any] = []

    def note(sizes: Any, given: list[Tensor], parameters: Any, *, keep: bool) -> None:
        seen.append((sizes, given, parameters))

    monkeypatch.setattr(fast_unroll, "_operations", lambda tensor: kernels_torch)
    monkeypatch.setattr(fast_unroll, "_recording", note)
    with torch.no_grad():
        for seed in range(2):
            core(*arguments(core, seed))
        (sizes, first, parameters), (_, second, _) = seen
        second = [second[0] + 1.0, *second[1:]]  # another initial memory, which resets select
        recording = fast_unroll.record(sizes, first, parameters.flat(), again, keep=False)
        expected, _ = fast_unroll._forward(kernels_torch, sizes, *second, parameters, keep=False)
        assert second[1].any()
        torch.testing.assert_close(recording.forward(Pass(), second), expected)


def test_acting_is_recorded_too(recordings: Recordings) -> None:
    core, reference = build(), build(fast=False)
    with torch.no_grad():
        for seed in range(2):
            given = arguments(core, seed)
            torch.testing.assert_close(core(*given)[0], reference(*given)[0], rtol=1e-4, atol=1e-5)
    assert len(recordings._kept) == 1


def test_what_inference_mode_recorded_serves_outside(recordings: Recordings) -> None:
    core, reference = build(), build(fast=False)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            given = arguments(core)
            torch.testing.assert_close(core(*given)[0], reference(*given)[0], rtol=1e-4, atol=1e-5)
    assert [len(kept) for kept in recordings._kept.values()] == [1]


def test_an_optimisers_step_is_seen(recordings: Recordings) -> None:
    core, reference = build(), build(fast=False)
    for each in (core, reference):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        for seed in range(3):
            everything(each, arguments(each, seed))
            optimizer.step()
    for own, other in zip(core.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)


def test_passes_under_way_at_once_do_not_meet(recordings: Recordings) -> None:
    core, reference = build(), build(fast=False)
    count = recorded.RECORDINGS_PER_SHAPE + 2  # more than there are recordings
    gradients = []
    for each in (core, reference):
        every = [arguments(each, seed) for seed in range(count)]
        outputs = [each(*given)[0] for given in every]
        for output in reversed(outputs):
            output.square().sum().backward()
        gradients.append([given[0].grad for given in every])
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
    assert [len(kept) for kept in recordings._kept.values()] == [recorded.RECORDINGS_PER_SHAPE]


def test_a_pass_given_up_frees_its_recording(recordings: Recordings) -> None:
    core = build()
    for seed in range(3):
        outputs, _ = core(*arguments(core, seed))
        del outputs, _
        gc.collect()
    assert [len(kept) for kept in recordings._kept.values()] == [1]


def test_a_second_backward_pass_is_refused(recordings: Recordings) -> None:
    core = build()
    outputs, _ = core(*arguments(core))
    outputs.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second time"):
        outputs.sum().backward()


def test_a_parameter_changed_since_is_named(recordings: Recordings) -> None:
    core = build()
    outputs, _ = core(*arguments(core))
    with torch.no_grad():
        next(core.mlp.parameters()).add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


def test_where_recording_fails_the_pass_goes_on_without() -> None:
    kept = Recordings()

    def fail() -> Recording:
        raise RuntimeError("no memory")

    with pytest.warns(UserWarning, match="not recorded as CUDA graphs from here on: no memory"):
        assert kept.take("key", fail) is None
    assert kept.take("key", fail) is None  # said once


def test_few_shapes_are_kept() -> None:
    kept = Recordings()
    x = torch.zeros(2)

    def make() -> Recording:
        return Recording([x], lambda inputs: [inputs[0] + 1], None, [], again)

    for key in range(recorded.SHAPES_KEPT + 3):
        recording = kept.take(key, make)
        assert recording is not None
        torch.testing.assert_close(recording.forward(Pass(), [x + key]), x + key + 1)
    assert len(kept._kept) == recorded.SHAPES_KEPT


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_graphs_equal_the_reference() -> None:
    core, reference = build().cuda(), build(fast=False).cuda()
    for seed in range(3):
        inputs, memory, reset = arguments(core, seed)
        given = (inputs.detach().cuda().requires_grad_(), memory.detach().cuda().requires_grad_(), reset.cuda())
        for own, other in zip(everything(core, given), everything(reference, given), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
