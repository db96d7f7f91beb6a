"""A trace says what the forward pass did."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rmc_agents import LSTMCore, RelationalMemory, Trace, attention_maps, leaves

STEPS, BATCH, INPUT_SIZE = 6, 5, 3


def build(**options: Any) -> RelationalMemory:
    torch.manual_seed(0)
    return RelationalMemory(INPUT_SIZE, **({"mem_slots": 3, "head_size": 4, "num_heads": 2} | options))


def arguments(core: Any) -> tuple[torch.Tensor, Any, torch.Tensor]:
    rows = (2,) if core.input_rank == 4 else ()
    inputs = torch.randn(STEPS, BATCH, *rows, INPUT_SIZE)
    return inputs, core.initial_state(BATCH), torch.rand(STEPS, BATCH) < 0.3


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("gate_style", ["unit", "memory", None])
@pytest.mark.parametrize("options", [{}, {"num_blocks": 3, "key_size": 5}, {"treat_input_as_matrix": True}])
def test_the_step_follows_from_its_trace(options: dict[str, Any], gate_style: str | None, fast: bool) -> None:
    """From the recorded memory, attention weights and gates alone the recorded memory after the step is computed."""
    core = build(gate_style=gate_style, fast=fast, **options)
    inputs, memory, reset = arguments(core)
    trace = core.trace(inputs, memory, reset)
    with torch.no_grad():
        outputs, final = core(inputs, memory, reset)
    torch.testing.assert_close(trace.outputs, outputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(trace.memory_after[-1], final, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(trace.memory_after.flatten(2), outputs, rtol=1e-5, atol=1e-5)
    expected_before = torch.cat([memory[None], trace.memory_after[:-1]])
    expected_before[reset] = core.initial_state(1)[0]
    torch.testing.assert_close(trace.memory_before, expected_before)

    assert trace.attention is not None
    n = 2 if core.treat_input_as_matrix else 1
    assert trace.attention.shape == (STEPS, BATCH, core.num_blocks, 2, 3, 3 + n)
    torch.testing.assert_close(trace.attention.sum(-1), torch.ones(trace.attention.shape[:-1]))
    if core.num_blocks > 1:
        return  # the input rows' own weights, which the later blocks need, are no part of a trace
    rows = inputs if n > 1 else inputs.unsqueeze(-2)
    with torch.no_grad():
        rows = torch.cat([trace.memory_before, core.input_projection(rows)], dim=2)
        block: Any = core.blocks[0]
        values = block.qkv_norm(block.qkv(rows)).unflatten(-1, (2, -1))[..., -4:]  # [T, B, R, H, V]
        read = torch.einsum("tbhij,tbjhv->tbihv", trace.attention[:, :, 0], values).flatten(-2)
        attended = block.attention_norm(rows[:, :, :3] + read)
        attended = block.mlp_norm(attended + core.mlp(attended))
        if gate_style is None:
            assert trace.input_gate is None
            assert trace.forget_gate is None
            expected = attended
        else:
            assert trace.input_gate is not None
            assert trace.forget_gate is not None
            assert trace.input_gate.shape == (STEPS, BATCH, 3, 8 if gate_style == "unit" else 1)
            expected = trace.input_gate * attended.tanh() + trace.forget_gate * trace.memory_before
    torch.testing.assert_close(trace.memory_after, expected, rtol=1e-5, atol=1e-5)


def test_weights_are_those_the_attention_uses() -> None:
    core = build(num_blocks=2)
    rows = torch.randn(BATCH, 4, core.mem_size)
    for block in core.blocks:
        assert isinstance(block, torch.nn.Module)
        weights, values = block.weights(rows, 3), block.heads(rows)[2]
        torch.testing.assert_close((weights @ values).transpose(1, 2).flatten(2), block.attention(rows, 3))


def test_a_core_without_attention() -> None:
    core = LSTMCore(INPUT_SIZE, hidden_size=4)
    inputs, state, reset = arguments(core)
    trace = core.trace(inputs, state, reset)
    torch.testing.assert_close(trace.outputs, core(inputs, state, reset)[0])
    assert [leaf.shape for leaf in leaves(trace.memory_before)] == [(STEPS, BATCH, 1, 4)] * 2
    assert (trace.attention, trace.input_gate, trace.forget_gate) == (None, None, None)
    with pytest.raises(ValueError, match="no attention"):
        attention_maps(trace)


def test_maps_of_figure_three() -> None:
    core = build(num_blocks=2)
    trace = core.trace(*arguments(core))
    assert trace.attention is not None
    assert attention_maps(trace).shape == (STEPS, 3, 4)
    torch.testing.assert_close(attention_maps(trace, item=2), trace.attention[:, 2, 1].mean(1))
    torch.testing.assert_close(attention_maps(trace, item=2, block=0, head=1), trace.attention[:, 2, 0, 1])


@pytest.mark.parametrize(("name", "index"), [("item", BATCH), ("block", 2), ("head", -3)])
def test_maps_that_do_not_exist(name: str, index: int) -> None:
    core = build(num_blocks=2)
    trace: Trace = core.trace(*arguments(core))
    with pytest.raises(ValueError, match=f"{name}: {index} given"):
        attention_maps(trace, **{name: index})


def test_tracing_leaves_no_gradients_and_checks_its_arguments() -> None:
    core = build()
    inputs, memory, reset = arguments(core)
    assert not core.trace(inputs, memory, reset).outputs.requires_grad
    with pytest.raises(ValueError, match="reset"):
        core.trace(inputs, memory, reset[1:])
    with pytest.raises(ValueError, match="state"):
        core.trace(inputs, memory[1:], reset)
