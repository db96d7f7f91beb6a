"""The LSTM's fast path against the reference: outputs and all gradients, both measured by the reference in float64."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rmc_agents import LSTMCore
from rmc_agents import fast as fast_path
from rmc_agents.fast import lstm as fast_lstm
from rmc_agents.lstm import LSTMState

INPUT_SIZE = 6
SHAPES = st.fixed_dictionaries({"steps": st.integers(1, 9), "batch": st.integers(1, 9), "resets": st.floats(0, 1)})
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "hidden_size": st.integers(1, 37),
        "num_layers": st.integers(1, 3),
        "forget_bias": st.floats(-2, 2),
        "skip_connections": st.booleans(),
        "concatenate_outputs": st.booleans(),
    }
)
EVERY_WIRING: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"num_layers": 3, "skip_connections": True, "concatenate_outputs": True},
]
every_wiring = pytest.mark.parametrize("wiring", EVERY_WIRING)


def build(seed: int = 0, **options: Any) -> LSTMCore:
    """A core whose parameters all differ from those it starts with, biases included."""
    torch.manual_seed(seed)
    core = LSTMCore(INPUT_SIZE, **({"hidden_size": 5} | options))
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return core


def arguments(core: LSTMCore, steps: int = 5, batch: int = 4, resets: float = 0.25) -> tuple[Tensor, LSTMState, Tensor]:
    hidden, cell = torch.randn(2, batch, core.num_layers, core.hidden_size)
    return torch.randn(steps, batch, INPUT_SIZE), (hidden, cell), torch.rand(steps, batch) < resets


def everything(core: LSTMCore, inputs: Tensor, state: LSTMState, reset: Tensor) -> list[Tensor]:
    """Outputs, the final h and c, and the gradients of everything, for random gradients of all three results."""
    inputs, hidden, cell = (tensor.clone().requires_grad_() for tensor in (inputs, *state))
    core.zero_grad()
    outputs, final = core(inputs, (hidden, cell), reset)
    generator = torch.Generator().manual_seed(0)
    results = [outputs, *final]
    torch.autograd.backward(results, [torch.randn(x.shape, generator=generator).to(x.dtype) for x in results])
    gradients = [tensor.grad for tensor in (inputs, hidden, cell, *core.parameters())]
    assert all(gradient is not None for gradient in gradients)
    return [*(x.detach() for x in results), *(g for g in gradients if g is not None)]


def reference(core: LSTMCore, dtype: torch.dtype) -> LSTMCore:
    twin = copy.deepcopy(core).to(dtype)
    twin.fast = False
    return twin


@settings(max_examples=80, deadline=None, derandomize=True)
@given(CONFIGURATIONS, SHAPES, st.integers(0, 2**16))
def test_equals_the_reference(configuration: dict[str, Any], shape: dict[str, Any], seed: int) -> None:
    core = build(seed, **configuration)
    inputs, state, reset = arguments(core, **shape)
    assert core.takes_fast_path(inputs, state)
    fast = everything(core, inputs, state, reset)
    slow = everything(reference(core, torch.float32), inputs, state, reset)
    hidden, cell = state
    exact = everything(reference(core, torch.float64), inputs.double(), (hidden.double(), cell.double()), reset)
    assert len(fast) == len(slow) == len(exact)
    scale = max(float(x.norm()) for x in exact[3:])  # a gradient that vanishes is measured by the others
    for index, (own, other, true) in enumerate(zip(fast, slow, exact, strict=True)):
        size = float(true.norm()) if index < 3 else max(float(true.norm()), 1e-3 * scale)
        own_error, other_error = (float((x.double() - true).norm()) / size for x in (own, other))
        assert own_error <= max(1e-5, 3 * other_error), (index, own_error, other_error)


@every_wiring
def test_at_sizes_that_are_used(wiring: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Large enough for oneDNN, and for gradients to be gathered several times, the last of them cut short."""
    core = build(hidden_size=128, **wiring)
    given = arguments(core, steps=7, batch=32)
    monkeypatch.setattr(fast_lstm, "ROWS_PER_PRODUCT", 3 * 32)
    fast, slow = everything(core, *given), everything(reference(core, torch.float32), *given)
    for own, other in zip(fast, slow, strict=True):
        assert float((own - other).norm()) <= 1e-5 * float(other.norm())


@every_wiring
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_without_gradients_the_numbers_are_the_same(wiring: dict[str, Any], steps: int) -> None:
    core = build(hidden_size=128, **wiring)
    given = arguments(core, steps=steps, batch=33)
    outputs, final = core(*given)
    assert outputs.requires_grad
    with torch.no_grad():
        own_outputs, own_final = core(*given)
    for own, other in zip([own_outputs, *own_final], [outputs, *final], strict=True):
        torch.testing.assert_close(own, other.detach(), rtol=0, atol=0)
        assert not own.requires_grad


def test_two_runs_are_bit_identical() -> None:
    core = build(hidden_size=128, num_layers=2)
    given = arguments(core, steps=6, batch=40)
    for own, other in zip(everything(core, *given), everything(core, *given), strict=True):
        assert torch.equal(own, other)


@every_wiring
def test_arguments_that_are_not_in_order(wiring: dict[str, Any]) -> None:
    core = build(**wiring)
    inputs, state, reset = arguments(core)

    def strided(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)

    hidden, cell = state
    given = strided(inputs), (strided(hidden), strided(cell)), strided(reset)
    assert not any(tensor.is_contiguous() for tensor in (given[0], *given[1], given[2]))
    for own, other in zip(everything(core, *given), everything(core, inputs, state, reset), strict=True):
        torch.testing.assert_close(own, other)


@every_wiring
def test_gradients_that_are_not_in_order(wiring: dict[str, Any]) -> None:
    core = build(**wiring)
    inputs, state, reset = arguments(core)
    results = []
    for in_order in (True, False):
        given = [tensor.clone().requires_grad_() for tensor in (inputs, *state)]
        outputs, final = core(given[0], (given[1], given[2]), reset)
        generator = torch.Generator().manual_seed(0)
        gradients = [torch.randn(x.shape[::-1], generator=generator).permute(2, 1, 0) for x in (outputs, *final)]
        if in_order:
            gradients = [gradient.contiguous() for gradient in gradients]
        results.append(torch.autograd.grad([outputs, *final], [*given, *core.parameters()], gradients))
    for own, other in zip(*results, strict=True):
        assert torch.equal(own, other)


@every_wiring
def test_results_share_no_memory(wiring: dict[str, Any]) -> None:
    """Neither with one another, nor with what the backward pass reads, nor with the arguments."""
    core = build(**wiring)
    inputs, state, reset = arguments(core)
    for steps in (1, 5):
        with torch.no_grad():
            outputs, (hidden, cell) = core(inputs[:steps], state, reset[:steps])
        last = outputs[-1].clone()
        hidden.fill_(7.0)
        cell.fill_(8.0)
        assert torch.equal(outputs[-1], last)
    gradients = []
    for overwrite in (False, True):
        outputs, (hidden, cell) = core(inputs, state, reset)
        if overwrite:
            for tensor in (outputs, hidden, cell):
                tensor.detach().fill_(7.0)
        gradients.append(
            torch.autograd.grad([outputs, hidden, cell], list(core.parameters()), [torch.ones_like(outputs), *state])
        )
    for own, other in zip(*gradients, strict=True):
        assert torch.equal(own, other)


def test_only_what_needs_gradients_gets_them() -> None:
    core = build(num_layers=2, skip_connections=True)
    frozen = ("from_hidden.0.weight", "from_input.1.weight", "from_input.1.bias")
    for name, parameter in core.named_parameters():
        parameter.requires_grad_(name not in frozen)
    inputs, state, reset = arguments(core)
    core(inputs, state, reset)[0].sum().backward()
    assert inputs.grad is None
    assert {name for name, p in core.named_parameters() if p.grad is None} == set(frozen)


def test_one_forward_may_have_several_backward_passes() -> None:
    core = build(num_layers=2)
    outputs, _ = core(*arguments(core))
    parameters = list(core.parameters())
    first = torch.autograd.grad(outputs.sum(), parameters, retain_graph=True)
    second = torch.autograd.grad(outputs.sum(), parameters)
    for own, other in zip(first, second, strict=True):
        assert torch.equal(own, other)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(outputs.sum(), parameters)


def test_a_parameter_changed_since_is_noticed() -> None:
    core = build()
    outputs, _ = core(*arguments(core))
    with torch.no_grad():
        next(core.from_hidden.parameters()).add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@every_wiring
def test_what_is_not_finite_stays_visible_until_a_reset(wiring: dict[str, Any]) -> None:
    core = build(hidden_size=128, **wiring)
    inputs, state, reset = arguments(core, steps=6, batch=40, resets=0.0)
    inputs[1, 5] = float("nan")
    state[0][7] = state[1][8] = float("inf")
    reset[4, 5] = reset[0, 7:9] = True
    outputs, (hidden, cell) = core(inputs, state, reset)
    assert outputs[1:4, 5].isnan().all()
    outputs[1:4, 5] = 0.0
    for tensor in (outputs, hidden, cell):
        assert tensor.isfinite().all()


@every_wiring
def test_gradients_that_are_not_finite_stop_at_a_reset(wiring: dict[str, Any]) -> None:
    core = build(hidden_size=128, **wiring)
    inputs, state, reset = arguments(core, steps=6, batch=40, resets=0.0)
    reset[3, 5] = reset[0, 7] = True
    inputs, hidden, cell = (tensor.requires_grad_() for tensor in (inputs, *state))
    outputs, _ = core(inputs, (hidden, cell), reset)
    d_outputs = torch.ones_like(outputs)
    d_outputs[4, 5] = float("nan")
    d_outputs[1, 7] = float("nan")
    outputs.backward(d_outputs)
    for tensor in (hidden.grad, cell.grad):
        assert tensor is not None
        assert tensor.isfinite().all()
        assert not tensor[7].any()
    assert inputs.grad is not None
    assert inputs.grad[3:5, 5].isnan().all()
    assert inputs.grad[:2, 7].isnan().all()
    inputs.grad[3:5, 5] = inputs.grad[:2, 7] = 0.0
    assert inputs.grad.isfinite().all()


def test_without_gradients_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long unroll only the gates and the outputs are as long as it."""
    lengths: list[int] = []
    forward = fast_lstm._forward

    def watched(*tensors: Tensor, keep: bool) -> Any:
        result = forward(*tensors, keep=keep)
        lengths.extend(len(tensor) for tensor in result[3])
        return result

    monkeypatch.setattr(fast_lstm, "_forward", watched)
    core = build()
    given = arguments(core, steps=30)
    core(*given)
    with torch.no_grad():
        core(*given)
    assert lengths == [30, 30, 30, 30, 2, 1]


class Doubled(LSTMCore):
    def step(self, projected: tuple[Tensor, ...], state: LSTMState) -> tuple[Tensor, LSTMState]:
        output, state = super().step(projected, state)
        return 2 * output, state


def test_a_subclass_is_not_bypassed() -> None:
    core = build()
    doubled = Doubled(INPUT_SIZE, hidden_size=5)
    doubled.load_state_dict(core.state_dict())
    given = arguments(core)
    torch.testing.assert_close(doubled(*given)[0], 2 * core(*given)[0], rtol=1e-4, atol=1e-5)


def test_hooks_are_called() -> None:
    core = build()
    seen: list[Tensor] = []
    core.from_hidden[0].register_forward_hook(lambda module, args, output: seen.append(output))
    core(*arguments(core, steps=5))
    assert len(seen) == 5


class Linear(nn.Linear):
    """Of the same name, and something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def linear_of_another_kind(core: LSTMCore) -> None:
    core.from_input[1] = Linear(INPUT_SIZE, 4 * core.hidden_size)


def another_step(core: LSTMCore) -> None:
    core.step = lambda projected, state: (state[0][:, 0] + 1, state)  # type: ignore[method-assign]


def another_beginning(core: LSTMCore) -> None:
    state = torch.full((2, 4, core.num_layers, core.hidden_size), 0.1)
    core.initial_state = lambda size, **_: (state[0][:size], state[1][:size])  # type: ignore


def no_bias(core: LSTMCore) -> None:
    core.from_input[0].bias = None  # type: ignore[assignment]


def one_more_bias(core: LSTMCore) -> None:
    core.from_hidden[0].bias = nn.Parameter(torch.ones(4 * core.hidden_size))


def a_hook(core: LSTMCore) -> None:
    core.from_below[0].register_forward_hook(lambda module, given, output: 2 * output)


@pytest.mark.parametrize(
    "change", [linear_of_another_kind, another_step, another_beginning, no_bias, one_more_bias, a_hook]
)
def test_a_changed_module_is_computed_as_changed(change: Any) -> None:
    options: dict[str, Any] = {"num_layers": 2, "skip_connections": True}
    core = build(**options)
    given = arguments(core)
    assert core.takes_fast_path(*given[:2])
    unchanged = core(*given)[0]
    change(core)
    assert not core.takes_fast_path(*given[:2])
    changed = core(*given)[0]
    core.fast = False
    torch.testing.assert_close(changed, core(*given)[0])
    assert not torch.allclose(changed, unchanged)


def test_modes_see_every_operation() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for fast in (True, False):
        core = build(fast=fast)
        given = arguments(core)
        with FlopCounterMode(display=False) as counter:
            core(*given)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_backward_under_autocast_is_that_of_forward() -> None:
    core = build(hidden_size=128)
    inputs, state, reset = arguments(core, batch=32)
    parameters = list(core.parameters())
    expected = torch.autograd.grad(core(inputs, state, reset)[0].sum(), parameters)
    loss = core(inputs, state, reset)[0].sum()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradients = torch.autograd.grad(loss, parameters)
    for own, other in zip(gradients, expected, strict=True):
        assert torch.equal(own, other)


def test_defaults_of_another_type_and_device_change_nothing() -> None:
    core = build()
    given = arguments(core)
    expected = core(*given)[0]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            outputs, _ = core(*given)
            outputs.sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(outputs, expected)


def test_a_numba_that_does_not_work_leaves_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    core = build()
    given = arguments(core)
    expected = core(*given)[0]
    monkeypatch.setattr("rmc_agents.lstm.has_kernels", lambda: False)
    assert not core.takes_fast_path(*given[:2])
    torch.testing.assert_close(core(*given)[0], expected, rtol=1e-4, atol=1e-5)


def test_left_to_pytorch() -> None:
    core = build(num_layers=2)
    inputs, (hidden, cell), reset = arguments(core)
    state = (hidden, cell)
    assert core.takes_fast_path(inputs, state)
    assert not core.takes_fast_path(inputs.double(), state)
    assert not core.takes_fast_path(inputs, (hidden, cell.double()))
    assert not core.double().takes_fast_path(inputs, state)
    core.float()
    assert not core.takes_fast_path(inputs.to("meta"), state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not core.takes_fast_path(inputs, state)
    expected = core(2 * inputs, state, reset)[0]
    batched = torch.func.vmap(lambda x: core(x, state, reset)[0])(torch.stack([inputs, 2 * inputs]))
    torch.testing.assert_close(batched[1], expected, rtol=1e-4, atol=1e-5)
    program = torch.export.export(core, (inputs, state, reset))
    torch.testing.assert_close(program.module()(2 * inputs, state, reset)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_core_pickled_before_there_was_a_fast_path() -> None:
    core = build()
    given = arguments(core)
    expected = core(*given)[0]
    del core.__dict__["fast"]
    assert torch.equal(core(*given)[0], expected)


def test_numba_is_neither_needed_nor_imported_early() -> None:
    code = """
import sys
import torch
import rmc_agents
core = rmc_agents.LSTMCore(3, hidden_size=4)
assert "numba" not in sys.modules
sys.modules["numba"] = None
core(torch.randn(2, 1, 3), core.initial_state(1), torch.zeros(2, 1, dtype=torch.bool))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_biases_are_where_they_belong() -> None:
    """``plain`` of layers with and without bias."""
    with_bias, without_bias = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
    x = torch.zeros(1, 2)
    assert fast_path.plain([with_bias, without_bias], [x], [without_bias])
    assert not fast_path.plain([with_bias, without_bias], [x])
    assert not fast_path.plain([with_bias], [x], [with_bias])
