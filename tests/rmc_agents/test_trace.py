"""A trace says what the forward pass did."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from rmc_agents import (
    ConvLSTMCore,
    Core,
    DNCCore,
    GRUCore,
    LSTMBankCore,
    LSTMCore,
    RelationalMemory,
    Trace,
    attention_maps,
    leaves,
)

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


def test_a_core_without_attention_and_gates() -> None:
    core = DNCCore(INPUT_SIZE, mem_slots=3, word_size=2)
    inputs, state, reset = arguments(core)
    trace = core.trace(inputs, state, reset)
    torch.testing.assert_close(trace.outputs, core(inputs, state, reset)[0])
    assert trace.memory_before["memory"].shape == (STEPS, BATCH, 3, 2)
    assert (trace.attention, trace.input_gate, trace.forget_gate) == (None, None, None)
    with pytest.raises(ValueError, match="no attention"):
        attention_maps(trace)


LSTMS = {
    "one layer": LSTMCore(INPUT_SIZE, hidden_size=4),
    "three layers": LSTMCore(INPUT_SIZE, hidden_size=4, num_layers=3),
    "deep": LSTMCore(INPUT_SIZE, hidden_size=4, num_layers=3, skip_connections=True, concatenate_outputs=True),
    "step by step": LSTMCore(INPUT_SIZE, hidden_size=4, num_layers=2, fast=False),
    "bank": LSTMBankCore(INPUT_SIZE, num_cells=3, cell_size=4),
    "bank of equal cells": LSTMBankCore(INPUT_SIZE, num_cells=3, cell_size=4, share_weights=True),
    "convolutional": ConvLSTMCore(13, height=2, width=3, channels=2, hidden_channels=4),
}


@pytest.mark.parametrize("name", LSTMS)
def test_the_cells_of_an_lstm_follow_from_its_gates(name: str) -> None:
    """Candidates that nothing but their bias makes are known: the gates alone then make the next c, and h from it."""
    core = copy.deepcopy(LSTMS[name])
    torch.manual_seed(0)
    for parameter in core.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    for key, parameter in core.named_parameters():
        if key == "keys":
            continue
        if isinstance(core, LSTMBankCore) and key == "from_hidden":
            parameter.data[..., 12:] = 0.0  # [sets, cell_size, 4 * cell_size]
        else:
            parameter.data.unflatten(0, (-1, 4, 4))[:, 3] = 0.5 if key.endswith("bias") else 0.0
    inputs = torch.randn(STEPS, BATCH, core.input_size)
    trace = core.trace(inputs, core.initial_state(BATCH), torch.rand(STEPS, BATCH) < 0.3)
    (_, cell), (hidden_after, cell_after) = (
        [leaf.flatten(2, -2) for leaf in state] for state in (trace.memory_before, trace.memory_after)
    )
    assert trace.input_gate is not None
    assert trace.forget_gate is not None
    assert trace.output_gate is not None
    assert trace.input_gate.shape == trace.forget_gate.shape == trace.output_gate.shape == cell.shape
    candidate = torch.tensor(0.5).tanh()
    torch.testing.assert_close(cell_after, trace.forget_gate * cell + trace.input_gate * candidate)
    torch.testing.assert_close(hidden_after, trace.output_gate * cell_after.tanh())
    assert trace.attention is None


@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_state_of_a_gru_follows_from_its_gates(num_layers: int) -> None:
    core = GRUCore(INPUT_SIZE, hidden_size=4, num_layers=num_layers)
    torch.manual_seed(0)
    for key, parameter in core.named_parameters():
        torch.nn.init.normal_(parameter, std=0.7)
        if key == "candidate_bias":
            parameter.data[:] = -2.0
        else:
            parameter.data[8:] = 0.5 if key.endswith("bias") else 0.0
    trace = core.trace(*arguments(core))
    assert trace.input_gate is not None
    assert trace.forget_gate is not None
    assert trace.reset_gate is not None
    candidate = torch.tanh(0.5 - 2.0 * trace.reset_gate)
    torch.testing.assert_close(
        trace.memory_after, trace.forget_gate * trace.memory_before + trace.input_gate * candidate
    )


@pytest.mark.parametrize("core", [*LSTMS.values(), GRUCore(INPUT_SIZE, hidden_size=4, num_layers=2)])
def test_a_trace_ends_where_the_forward_pass_ends(core: Core) -> None:
    inputs = torch.randn(STEPS, BATCH, core.input_size)
    reset = torch.rand(STEPS, BATCH) < 0.3
    trace = core.trace(inputs, core.initial_state(BATCH), reset)
    outputs, final = core(inputs, core.initial_state(BATCH), reset)
    torch.testing.assert_close(trace.outputs, outputs, rtol=1e-5, atol=1e-6)
    for leaf, expected in zip(leaves(trace.memory_after), leaves(final), strict=True):
        torch.testing.assert_close(leaf[-1], expected, rtol=1e-5, atol=1e-6)


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
