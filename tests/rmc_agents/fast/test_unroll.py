"""The fast path against the reference: outputs and all gradients, both measured by the reference in float64."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rmc_agents import RelationalMemory
from rmc_agents import fast as fast_path
from rmc_agents.fast import kernels, kernels_torch
from rmc_agents.fast import unroll as fast_unroll

INPUT_SIZE = 6
SHAPES = st.fixed_dictionaries({"steps": st.integers(1, 9), "batch": st.integers(1, 9), "rows": st.integers(1, 3)})
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "mem_slots": st.integers(1, 6),
        "head_size": st.integers(2, 19),
        "num_heads": st.integers(1, 4),
        "num_blocks": st.integers(1, 3),
        "gate_style": st.sampled_from(["unit", "memory", None]),
        "attention_mlp_layers": st.integers(1, 3),
        "key_size": st.none() | st.integers(1, 18),
        "attention_scale": st.sampled_from(["key", "qkv"]),
        "treat_input_as_matrix": st.booleans(),
        "forget_bias": st.floats(-2, 2),
    }
)


def build(seed: int = 0, **options: Any) -> RelationalMemory:
    """A core whose parameters all differ from those it starts with, norms and biases included."""
    torch.manual_seed(seed)
    core = RelationalMemory(INPUT_SIZE, **({"mem_slots": 3, "head_size": 4, "num_heads": 2} | options))
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return core


def arguments(core: RelationalMemory, steps: int = 5, batch: int = 4, rows: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    shape = (steps, batch, rows, INPUT_SIZE) if core.treat_input_as_matrix else (steps, batch, INPUT_SIZE)
    return torch.randn(shape), torch.randn(batch, core.mem_slots, core.mem_size), torch.rand(steps, batch) < 0.25


def everything(core: RelationalMemory, inputs: Tensor, memory: Tensor, reset: Tensor, seed: int = 0) -> list[Tensor]:
    """Outputs, the final memory and the gradients of everything, for random gradients of both results."""
    inputs, memory = inputs.clone().requires_grad_(), memory.clone().requires_grad_()
    core.zero_grad()
    outputs, final = core(inputs, memory, reset)
    generator = torch.Generator().manual_seed(seed)
    d_outputs, d_final = (torch.randn(x.shape, generator=generator).to(x.dtype) for x in (outputs, final))
    torch.autograd.backward([outputs, final], [d_outputs, d_final])
    gradients = [tensor.grad for tensor in (inputs, memory, *core.parameters())]
    return [outputs.detach(), final.detach(), *(g for g in gradients if g is not None)]


def reference(core: RelationalMemory, dtype: torch.dtype) -> RelationalMemory:
    twin = copy.deepcopy(core).to(dtype)
    twin.fast = False
    return twin


@pytest.fixture(params=[kernels, kernels_torch], ids=["numba", "torch"])
def operations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both ways to compute what lies between the products; the second is that of other devices."""
    monkeypatch.setattr(fast_unroll, "_operations", lambda tensor: request.param)
    return request.param


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONFIGURATIONS, SHAPES, st.integers(0, 2**16))
def test_equals_the_reference(operations: Any, configuration: dict[str, Any], shape: dict[str, int], seed: int) -> None:
    core = build(seed, **configuration)
    given = arguments(core, **shape)
    assert core.takes_fast_path(*given[:2])
    fast = everything(core, *given)
    slow = everything(reference(core, torch.float32), *given)
    inputs, memory, reset = given
    definition = reference(core, torch.float64)
    before_relu: list[float] = []
    for layer in definition.mlp[:-1:2]:
        layer.register_forward_hook(lambda module, args, output: before_relu.append(float(output.detach().abs().min())))
    exact = everything(definition, inputs.double(), memory.double(), reset)
    assume(min(before_relu, default=1.0) > 1e-5)  # where rounding decides the sign the gradient has no one value
    assert len(fast) == len(slow) == len(exact)
    scale = max(float(x.norm()) for x in exact[2:])  # a gradient that vanishes is measured by the others
    sizes = [float(x.norm()) if index < 2 else max(float(x.norm()), 1e-3 * scale) for index, x in enumerate(exact)]
    own, other = (
        [float((x.double() - true).norm()) / size for x, true, size in zip(computed, exact, sizes, strict=True)]
        for computed in (fast, slow)
    )
    # How much rounding matters (a LayerNorm of two columns may divide by almost nothing) the reference shows.
    assert max(own) <= max(1e-4, 5 * max(other)), (own, other)


@pytest.mark.parametrize("gate_style", ["unit", "memory", None])
@pytest.mark.parametrize("num_blocks", [1, 2])
def test_at_sizes_that_are_used(
    gate_style: str | None, num_blocks: int, operations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large enough for oneDNN, and for the weights' gradients to come in several products, one of them cut short."""
    core = build(mem_slots=4, head_size=32, num_heads=4, gate_style=gate_style, num_blocks=num_blocks)
    hidden = core.mlp[0]
    assert isinstance(hidden, torch.nn.Linear)
    with torch.no_grad():  # every second unit is on, every other off: none where rounding decides
        hidden.bias.copy_(torch.tensor([20.0, -20.0]).repeat(len(hidden.bias) // 2))
    given = arguments(core, steps=7, batch=32)
    monkeypatch.setattr(fast_unroll, "ROWS_PER_WEIGHT_PRODUCT", 3 * 32 * 4)
    fast, slow = everything(core, *given), everything(reference(core, torch.float32), *given)
    for own, other in zip(fast, slow, strict=True):
        assert float((own - other).norm()) <= 1e-4 * float(other.norm())


def test_without_gradients_the_numbers_are_the_same() -> None:
    core = build(mem_slots=4, head_size=32, num_heads=4, num_blocks=2)
    given = arguments(core, steps=6, batch=33)
    with_tape = core(*given)
    with torch.no_grad():
        without = core(*given)
    for own, other in zip(without, with_tape, strict=True):
        torch.testing.assert_close(own, other.detach(), rtol=0, atol=0)
        assert not own.requires_grad


def test_two_runs_are_bit_identical() -> None:
    core = build(mem_slots=4, head_size=32, num_heads=4)
    given = arguments(core, steps=6, batch=32)
    for own, other in zip(everything(core, *given), everything(core, *given), strict=True):
        assert torch.equal(own, other)


def test_arguments_that_are_not_in_order() -> None:
    core = build()
    inputs, memory, reset = arguments(core)
    strided = (
        inputs.transpose(0, 1).contiguous().transpose(0, 1),
        memory.transpose(1, 2).contiguous().transpose(1, 2),
        reset.T.contiguous().T,
    )
    for own, other in zip(everything(core, *strided), everything(core, inputs, memory, reset), strict=True):
        torch.testing.assert_close(own, other)


def test_only_what_needs_gradients_gets_them() -> None:
    core = build()
    core.mlp.requires_grad_(False)
    inputs, memory, reset = arguments(core)
    core(inputs, memory, reset)[0].sum().backward()
    assert inputs.grad is None
    assert [name for name, p in core.named_parameters() if p.grad is None] == [
        name for name, _ in core.named_parameters() if name.startswith("mlp.")
    ]


def test_what_is_not_finite_stays_visible() -> None:
    core = build(mem_slots=4, head_size=32, num_heads=4)
    inputs, memory, reset = arguments(core, steps=3, batch=32)
    reset[:] = False
    inputs[1, 5, 0] = float("nan")
    outputs, _ = core(inputs, memory, reset)
    assert outputs[1:, 5].isnan().all()
    assert outputs[0].isfinite().all()
    assert outputs[:, 6].isfinite().all()


@pytest.mark.parametrize("num_blocks", [1, 2])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("gate_style", ["unit", "memory", None])
def test_bfloat16_products_keep_to_their_error(
    gate_style: str | None, fast: bool, num_blocks: int, operations: Any
) -> None:
    """Against float64: a few parts in a thousand, and not zero, which would mean that the option does nothing."""
    options = {"mem_slots": 4, "head_size": 16, "num_heads": 4, "gate_style": gate_style, "num_blocks": num_blocks}
    core = build(**options, matmul_dtype="bfloat16", fast=fast)
    inputs, memory, reset = arguments(core, steps=8, batch=16)
    exact_core = build(**options, fast=False).double()
    exact = everything(exact_core, inputs.double(), memory.double(), reset)
    for index, (own, true) in enumerate(zip(everything(core, inputs, memory, reset), exact, strict=True)):
        assert own.dtype == torch.float32
        error = float((own - true).norm() / true.norm())
        assert 1e-6 < error < (0.02 if index < 2 else 0.1 * num_blocks), (index, error)


def test_bfloat16_that_is_not_finite_stays_visible(operations: Any) -> None:
    core = build(mem_slots=4, head_size=32, num_heads=4, matmul_dtype="bfloat16")
    inputs, memory, reset = arguments(core, steps=3, batch=32)
    reset[:] = False
    inputs[1, 5, 0] = float("nan")
    outputs, _ = core(inputs, memory, reset)
    assert outputs[1:, 5].isnan().all()
    assert outputs[:, 6].isfinite().all()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("recompute_steps", [1, 3, 7, 100])
def test_recomputing_changes_nothing(recompute_steps: int, fast: bool) -> None:
    options = {"mem_slots": 4, "head_size": 8, "num_heads": 2, "num_blocks": 2, "fast": fast}
    given = arguments(build(**options), steps=7)
    kept = everything(build(**options), *given)
    recomputed = everything(build(**options, recompute_steps=recompute_steps), *given)
    for own, other in zip(recomputed, kept, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_recomputing_keeps_little_memory() -> None:
    """What autograd keeps for the backward pass, in bytes."""
    kept: list[int] = []
    for recompute_steps in (None, 5):
        core = build(mem_slots=4, head_size=16, num_heads=4, recompute_steps=recompute_steps)
        given = arguments(core, steps=60)
        saved: dict[int, int] = {}

        def keep(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            core(*given)
        kept.append(sum(saved.values()))
    assert kept[1] < kept[0] / 5


def test_a_second_backward_is_refused_as_everywhere() -> None:
    core = build()
    outputs, _ = core(*arguments(core))
    outputs.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        outputs.sum().backward()


class Doubled(RelationalMemory):
    def step(self, projected: tuple[Tensor, ...], memory: Tensor) -> tuple[Tensor, Tensor]:
        output, memory = super().step(projected, memory)
        return 2 * output, memory


def test_a_subclass_is_not_bypassed() -> None:
    core = build()
    torch.manual_seed(0)
    doubled = Doubled(INPUT_SIZE, mem_slots=3, head_size=4, num_heads=2)
    doubled.load_state_dict(core.state_dict())
    given = arguments(core)
    torch.testing.assert_close(doubled(*given)[0], 2 * core(*given)[0], rtol=1e-4, atol=1e-5)


def test_hooks_are_called() -> None:
    core = build()
    seen: list[Tensor] = []
    core.blocks[0].qkv.register_forward_hook(lambda module, args, output: seen.append(output))
    core(*arguments(core, steps=5))
    assert len(seen) == 5


class Linear(torch.nn.Linear):
    """Of the same name, and something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def linear_of_another_kind(core: RelationalMemory) -> None:
    core.input_projection = Linear(INPUT_SIZE, core.mem_size)


def no_activation(core: RelationalMemory) -> None:
    del core.mlp[1]


def another_activation(core: RelationalMemory) -> None:
    core.mlp[1] = torch.nn.Tanh()


def another_epsilon(core: RelationalMemory) -> None:
    core.blocks[0].mlp_norm.eps = 0.5  # type: ignore[union-attr, assignment]


def another_scale(core: RelationalMemory) -> None:
    core.blocks[1].scale = 0.1  # type: ignore[assignment]


def another_step(core: RelationalMemory) -> None:
    core.step = lambda projected, memory: (memory.flatten(1), memory)  # type: ignore[method-assign]


def another_beginning(core: RelationalMemory) -> None:
    core.initial_state = lambda size, **_: torch.full((size, core.mem_slots, core.mem_size), 0.1)  # type: ignore


def no_bias(core: RelationalMemory) -> None:
    core.blocks[0].qkv.bias = None  # type: ignore[union-attr, assignment]


def no_attention_between_slots(core: RelationalMemory) -> None:
    core.attention_between_slots = False


def a_hook(core: RelationalMemory) -> None:
    core.gate_memory.register_forward_hook(lambda module, given, output: 2 * output)


@pytest.mark.parametrize(
    "change",
    [
        linear_of_another_kind,
        no_activation,
        another_activation,
        another_epsilon,
        another_scale,
        another_step,
        another_beginning,
        no_bias,
        no_attention_between_slots,
        a_hook,
    ],
)
def test_a_changed_module_is_computed_as_changed(change: Any) -> None:
    core = build(num_blocks=2)
    given = arguments(core)
    assert core.takes_fast_path(*given[:2])
    change(core)
    assert not core.takes_fast_path(*given[:2])
    changed = core(*given)[0]
    core.fast = False
    torch.testing.assert_close(changed, core(*given)[0])
    assert not torch.allclose(changed, build(num_blocks=2)(*given)[0])


def test_modes_see_every_operation() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for fast in (True, False):
        core = build(fast=fast)
        given = arguments(core)
        with FlopCounterMode(display=False) as counter:
            core(*given)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


def test_backward_under_autocast_is_that_of_forward() -> None:
    core = build(mem_slots=4, head_size=32, num_heads=4, gate_style=None)
    given = arguments(core, batch=32)
    plain = everything(core, *given)
    generator = torch.Generator().manual_seed(0)
    core.zero_grad()
    outputs, final = core(*given)
    gradients = [torch.randn(x.shape, generator=generator) for x in (outputs, final)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.autograd.backward([outputs, final], gradients)
    for own, parameter in zip(plain[4:], core.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, own, rtol=1e-4, atol=1e-4)


def test_defaults_of_another_type_and_device_change_nothing() -> None:
    core = build()
    given = arguments(core)
    expected = everything(core, *given)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            outputs, _ = core(*given)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(outputs.detach(), expected[0])


def test_a_numba_that_does_not_work_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    core = build()
    given = arguments(core)
    expected = core(*given)[0]
    fast_path.has_kernels.cache_clear()
    monkeypatch.setitem(sys.modules, "rmc_agents.fast.kernels", None)
    monkeypatch.delattr(fast_path, "kernels", raising=False)
    try:
        outputs = core(*given)[0]
    finally:
        fast_path.has_kernels.cache_clear()
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_recomputing_with_other_parameters_is_refused(fast: bool) -> None:
    core = build(recompute_steps=2, fast=fast)
    outputs, _ = core(*arguments(core))
    with torch.no_grad():
        core.mlp[0].bias.add_(1.0)  # type: ignore[union-attr, operator]
    with pytest.raises(RuntimeError, match="changed in place"):
        outputs.sum().backward()


def test_recomputing_leaves_transforms_alone() -> None:
    core = build(recompute_steps=2)
    inputs, memory, reset = arguments(core)
    gradient = torch.func.grad(lambda x: core(x, memory, reset)[0].sum())(inputs)
    expected = inputs.clone().requires_grad_()
    core(expected, memory, reset)[0].sum().backward()
    torch.testing.assert_close(gradient, expected.grad, rtol=1e-4, atol=1e-5)


def test_left_to_pytorch() -> None:
    core = build()
    inputs, memory, reset = arguments(core)
    assert core.takes_fast_path(inputs, memory)
    assert not core.takes_fast_path(inputs.double(), memory)
    assert not core.double().takes_fast_path(inputs, memory)
    core.float()
    assert not core.takes_fast_path(inputs.to("meta"), memory)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not core.takes_fast_path(inputs, memory)
    batched = torch.func.vmap(lambda x: core(x, memory, reset)[0])(torch.stack([inputs, 2 * inputs]))
    torch.testing.assert_close(batched[1], core(2 * inputs, memory, reset)[0], rtol=1e-4, atol=1e-5)
    program = torch.export.export(core, (inputs, memory, reset))
    torch.testing.assert_close(
        program.module()(inputs, memory, reset)[0], core(inputs, memory, reset)[0], rtol=1e-4, atol=1e-5
    )


def test_numba_is_neither_needed_nor_imported_early() -> None:
    code = """
import sys
import torch
import rmc_agents
assert "numba" not in sys.modules
sys.modules["numba"] = None
core = rmc_agents.RelationalMemory(3, mem_slots=2, head_size=4)
core(torch.randn(2, 1, 3), core.initial_state(1), torch.zeros(2, 1, dtype=torch.bool))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
