"""The relational memory against golden vectors, parameter counts and an independent float64 NumPy step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmc_agents import RelationalMemory, padded_identity

Array = np.ndarray[Any, np.dtype[np.float64]]

CONFIGURATIONS = st.fixed_dictionaries(
    {
        "input_size": st.integers(1, 6),
        "mem_slots": st.integers(1, 5),
        "head_size": st.integers(1, 4),
        "num_heads": st.integers(1, 3),
        "num_blocks": st.integers(1, 3),
        "gate_style": st.sampled_from(["unit", "memory", None]),
        "attention_mlp_layers": st.integers(1, 3),
        "key_size": st.none() | st.integers(1, 5),
        "attention_scale": st.sampled_from(["key", "qkv"]),
        "attention_between_slots": st.booleans(),
        "forget_bias": st.floats(-2, 2),
        "input_bias": st.floats(-2, 2),
    }
)


def golden_parameters(core: RelationalMemory) -> list[torch.nn.Parameter]:
    """The parameters in the order in which the golden vectors number them."""
    parameters: list[torch.nn.Parameter] = [*core.input_projection.parameters()]
    for index, block in enumerate(core.blocks):
        parameters += [*block.qkv.parameters(), *block.qkv_norm.parameters(), *block.attention_norm.parameters()]
        if index == 0:
            parameters += core.mlp.parameters()
        parameters += block.mlp_norm.parameters()
    if core.gate_style is not None:
        parameters += [*core.gate_input.parameters(), *core.gate_memory.parameters()]
    return parameters


def fill_with_golden_values(core: RelationalMemory) -> None:
    scales = {id(m.weight) for m in core.modules() if isinstance(m, torch.nn.LayerNorm)}
    parameters = golden_parameters(core)
    assert {id(p) for p in parameters} == {id(p) for p in core.parameters()}
    for j, parameter in enumerate(parameters):
        k = np.arange(parameter.numel())
        values = 0.3 * np.sin(1.7 * (k + 1) + 0.9 * (j + 1)) + (1.0 if id(parameter) in scales else 0.0)
        if parameter.dim() == 2:  # numbered over [in, out]
            values = values.reshape(parameter.shape[::-1]).T
        parameter.data = torch.from_numpy(np.ascontiguousarray(values)).to(parameter.dtype)


GOLDEN = {
    "unit": (
        {},
        [
            [1.165688, -0.402942, -0.336614, -0.348953, 0.445104, -0.039542],
            [0.292218, 0.549130, -0.293774, -0.340845, 0.526023, 0.000315],
        ],
        [
            [1.254062, -0.685689, -0.578491, -0.598456, 0.710452, -0.169620],
            [0.418110, -0.042851, -0.518431, -0.562356, 0.792658, -0.174791],
        ],
    ),
    "memory": (
        {"gate_style": "memory"},
        [
            [1.041254, -0.271555, -0.224236, -0.284908, 0.348181, -0.025664],
            [0.288229, 0.606456, -0.282125, -0.406070, 0.466254, 0.000251],
        ],
        [
            [1.050387, -0.459736, -0.343426, -0.449030, 0.573541, -0.084048],
            [0.454397, 0.217954, -0.419525, -0.619948, 0.746765, -0.085938],
        ],
    ),
    "none": (
        {"gate_style": None},
        [
            [1.854506, -0.960715, -0.716677, -1.048464, 1.882343, -0.070487],
            [0.707306, -0.191393, -0.687057, -1.285583, 2.446883, 0.000530],
        ],
        [
            [0.936814, -1.218125, -0.445024, -0.601595, 2.763818, -0.665789],
            [0.177575, -0.899839, -0.382864, -0.536824, 3.031409, -0.680554],
        ],
    ),
    "two blocks": (
        {"num_blocks": 2, "key_size": 4, "attention_mlp_layers": 3},
        [
            [0.943560, 0.028986, -0.307512, -0.235385, 0.405064, -0.336054],
            [-0.158470, 0.938050, -0.327951, -0.007443, 0.397497, -0.298909],
        ],
        [
            [0.819974, 0.029195, -0.511973, -0.286982, 0.740287, -0.613755],
            [-0.288239, 0.856433, -0.538263, 0.055705, 0.746079, -0.547843],
        ],
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_vectors(case: str) -> None:
    options, after_step_1, after_step_2 = GOLDEN[case]
    core = RelationalMemory(5, mem_slots=2, head_size=3, num_heads=2, **options)
    fill_with_golden_values(core)
    inputs = torch.tensor([[[math.cos(0.5 * (i + 1) + t) for i in range(5)]] for t in range(2)])
    with torch.no_grad():
        outputs, memory = core(inputs, core.initial_state(1), torch.zeros(2, 1, dtype=torch.bool))
    expected = torch.tensor([after_step_1, after_step_2])
    torch.testing.assert_close(outputs, expected.flatten(1).unsqueeze(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(memory, expected[1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (1088, {"input_size": 7, "head_size": 4, "num_heads": 2, "num_blocks": 2}),
        (474, {"input_size": 5, "head_size": 3, "num_heads": 2}),
        (334, {"input_size": 5, "head_size": 3, "num_heads": 2, "gate_style": "memory"}),
        (306, {"input_size": 5, "head_size": 3, "num_heads": 2, "gate_style": None}),
        (
            774,
            {
                "input_size": 5,
                "head_size": 3,
                "num_heads": 2,
                "key_size": 4,
                "num_blocks": 2,
                "attention_mlp_layers": 3,
            },
        ),
        (605_184, {"input_size": 40, "mem_slots": 8, "head_size": 32, "num_heads": 8}),
    ],
)
def test_published_parameter_counts(expected: int, options: dict[str, Any]) -> None:
    core = RelationalMemory(**{"mem_slots": 2, **options})
    assert sum(p.numel() for p in core.parameters()) == expected


@given(configuration=CONFIGURATIONS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_parameter_count_formula(configuration: dict[str, Any]) -> None:
    core = RelationalMemory(**configuration)
    d, v, h = configuration["input_size"], configuration["head_size"], configuration["num_heads"]
    blocks, layers = configuration["num_blocks"], configuration["attention_mlp_layers"]
    f = v * h
    q = h * (2 * (configuration["key_size"] or v) + v)
    gates = {"unit": 2 * f, "memory": 2, None: 0}[configuration["gate_style"]]
    expected = d * f + f + blocks * (f * q + q + 2 * q + 4 * f) + layers * (f * f + f) + 2 * (f * gates + gates)
    assert sum(p.numel() for p in core.parameters()) == expected


def numpy_step(core: RelationalMemory, configuration: dict[str, Any], rows: Array, memory: Array) -> Array:
    """One step for one item, row by row and head by head: rows [n, D], memory [N, F] to the new memory [N, F]."""

    def linear(layer: torch.nn.Module, x: Array) -> Array:
        return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    def layer_norm(norm: torch.nn.Module, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-5) * norm.weight.detach().numpy() + norm.bias.detach().numpy()

    def sigmoid(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    v, h = configuration["head_size"], configuration["num_heads"]
    k = configuration["key_size"] or v
    scale = k if configuration["attention_scale"] == "key" else 2 * k + v
    e = linear(core.input_projection, rows)
    a = np.concatenate([memory, e])
    for block in core.blocks:
        z = layer_norm(block.qkv_norm, linear(block.qkv, a))
        attended = np.zeros_like(a)
        for head in range(h):
            z_head = z[:, head * (2 * k + v) : (head + 1) * (2 * k + v)]
            for row in range(len(a)):
                scores = np.array([z_head[row, :k] @ key / np.sqrt(scale) for key in z_head[:, k : 2 * k]])
                if not configuration["attention_between_slots"]:
                    scores[[other for other in range(len(memory)) if other != row]] = -np.inf
                weights = np.exp(scores) / np.exp(scores).sum()
                attended[row, head * v : (head + 1) * v] = weights @ z_head[:, 2 * k :]
        a = layer_norm(block.attention_norm, a + attended)
        hidden = a
        linears = [layer for layer in core.mlp if isinstance(layer, torch.nn.Linear)]
        assert len(linears) == configuration["attention_mlp_layers"]
        for index, layer in enumerate(linears):
            hidden = linear(layer, np.maximum(hidden, 0) if index > 0 else hidden)
        a = layer_norm(block.mlp_norm, a + hidden)
    candidate = a[: len(memory)]
    if configuration["gate_style"] is None:
        return candidate
    g = linear(core.gate_memory, np.tanh(memory)) + linear(core.gate_input, e.mean(0))
    half = g.shape[1] // 2
    i = sigmoid(g[:, :half] + configuration["input_bias"])
    f = sigmoid(g[:, half:] + configuration["forget_bias"])
    return i * np.tanh(candidate) + f * memory


@given(configuration=CONFIGURATIONS, input_rows=st.none() | st.integers(1, 3), seed=st.integers(0, 2**31))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_step_equals_numpy_oracle(configuration: dict[str, Any], input_rows: int | None, seed: int) -> None:
    torch.manual_seed(seed)
    core = RelationalMemory(**configuration, treat_input_as_matrix=input_rows is not None).double()
    for parameter in core.parameters():  # biases and norms away from their neutral initial values too
        torch.nn.init.normal_(parameter)
    batch = 2
    memory = torch.randn(batch, core.mem_slots, core.mem_size, dtype=torch.float64)
    rows = torch.randn(batch, input_rows or 1, core.input_size, dtype=torch.float64)
    inputs = (rows if input_rows is not None else rows.squeeze(1)).unsqueeze(0)
    with torch.no_grad():
        outputs, new_memory = core(inputs, memory, torch.zeros(1, batch, dtype=torch.bool))
    expected = np.stack([numpy_step(core, configuration, rows[b].numpy(), memory[b].numpy()) for b in range(batch)])
    # LayerNorm over few columns can divide by almost nothing, which magnifies rounding.
    np.testing.assert_allclose(new_memory.numpy(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(outputs[0].numpy(), new_memory.flatten(1).numpy())


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_without_attention_between_slots_none_learns_of_another(num_blocks: int) -> None:
    core = RelationalMemory(3, mem_slots=3, head_size=4, num_blocks=num_blocks, attention_between_slots=False)
    inputs, reset, memory = torch.randn(5, 2, 3), torch.zeros(5, 2, dtype=torch.bool), torch.randn(2, 3, 4)
    _, expected = core(inputs, memory, reset)
    changed = memory.clone()
    changed[:, 1] += 1.0
    _, after = core(inputs, changed, reset)
    assert torch.equal(after[:, [0, 2]], expected[:, [0, 2]])
    assert not torch.allclose(after[:, 1], expected[:, 1])
    attention = core.trace(inputs, memory, reset).attention
    assert attention is not None
    between = ~torch.eye(3, 4, dtype=torch.bool)
    between[:, 3] = False
    assert (attention[..., between] == 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))


@pytest.mark.parametrize(
    ("slots", "size", "expected"),
    [
        (2, 2, [[1, 0], [0, 1]]),
        (2, 4, [[1, 0, 0, 0], [0, 1, 0, 0]]),
        (3, 2, [[1, 0], [0, 1], [0, 0]]),
    ],
)
def test_initial_memory_is_the_padded_identity(slots: int, size: int, expected: list[list[int]]) -> None:
    assert padded_identity(slots, size).tolist() == expected
    core = RelationalMemory(3, mem_slots=slots, head_size=size)
    assert core.initial_state(2).tolist() == [expected, expected]


def test_a_reset_selects_the_padded_identity() -> None:
    """With gates that keep everything the memory after a step is the one before it: after a reset, the identity."""
    core = RelationalMemory(3, mem_slots=2, head_size=4, forget_bias=math.inf, input_bias=-math.inf)
    memory = torch.randn(2, 2, 4)
    _, after = core(torch.randn(1, 2, 3), memory, torch.tensor([[True, False]]))
    assert torch.equal(after[0], padded_identity(2, 4))
    assert torch.equal(after[1], memory[1])


@pytest.mark.parametrize("gate_style", ["unit", "memory"])
def test_infinite_biases_keep_the_memory_exactly(gate_style: str) -> None:
    core = RelationalMemory(
        3, mem_slots=2, head_size=4, gate_style=gate_style, forget_bias=math.inf, input_bias=-math.inf
    )
    memory = torch.randn(5, 2, 4)
    outputs, after = core(torch.randn(6, 5, 3), memory, torch.zeros(6, 5, dtype=torch.bool))
    assert torch.equal(after, memory)
    assert torch.equal(outputs, memory.flatten(1).expand(6, -1, -1))


@pytest.mark.parametrize("gate_style", ["unit", "memory"])
def test_infinite_biases_erase_or_overwrite_the_memory(gate_style: str) -> None:
    memory, inputs, no_reset = torch.randn(5, 2, 4), torch.randn(1, 5, 3), torch.zeros(1, 5, dtype=torch.bool)
    sizes: dict[str, Any] = {"mem_slots": 2, "head_size": 4, "gate_style": gate_style}
    erasing = RelationalMemory(3, **sizes, forget_bias=-math.inf, input_bias=-math.inf)
    _, after = erasing(inputs, memory, no_reset)
    assert torch.equal(after, torch.zeros(5, 2, 4))
    overwriting = RelationalMemory(3, **sizes, forget_bias=-math.inf, input_bias=math.inf)
    _, after = overwriting(inputs, memory, no_reset)
    attended = overwriting.attend(overwriting.project(inputs)[0][0], memory)
    torch.testing.assert_close(after, torch.tanh(attended))


@pytest.mark.parametrize(("gate_style", "columns"), [("unit", 6), ("memory", 1)])
def test_gate_shapes(gate_style: str, columns: int) -> None:
    core = RelationalMemory(3, mem_slots=4, head_size=3, num_heads=2, gate_style=gate_style)
    _, gate_inputs = core.project(torch.randn(7, 5, 3))
    for gate in core.gates(gate_inputs[0], core.initial_state(5)):
        assert gate.shape == (5, 4, columns)
        assert ((gate > 0) & (gate < 1)).all()


def test_gate_biases_are_constants() -> None:
    core = RelationalMemory(3, mem_slots=2, head_size=2, forget_bias=1, input_bias=0)
    assert core.gate_bias.tolist() == [0, 0, 1, 1]
    assert not any("gate_bias" in name for name in [*core.state_dict(), *dict(core.named_parameters())])


def test_one_row_matrix_input_equals_vector_input() -> None:
    vector = RelationalMemory(3, mem_slots=2, head_size=4)
    matrix = RelationalMemory(3, mem_slots=2, head_size=4, treat_input_as_matrix=True)
    matrix.load_state_dict(vector.state_dict())
    inputs, reset = torch.randn(4, 5, 3), torch.rand(4, 5) < 0.3
    expected, _ = vector(inputs, vector.initial_state(5), reset)
    outputs, _ = matrix(inputs.unsqueeze(2), matrix.initial_state(5), reset)
    torch.testing.assert_close(outputs, expected)


def test_the_order_of_input_rows_does_not_matter() -> None:
    core = RelationalMemory(3, mem_slots=2, head_size=4, num_blocks=2, treat_input_as_matrix=True)
    inputs, reset = torch.randn(4, 5, 3, 3), torch.zeros(4, 5, dtype=torch.bool)
    expected, _ = core(inputs, core.initial_state(5), reset)
    outputs, _ = core(inputs[:, :, [2, 0, 1]], core.initial_state(5), reset)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="inputs: shape"):
        core(inputs[:, :, 0], core.initial_state(5), reset)


def test_norms_start_neutral_and_use_the_published_epsilon() -> None:
    core = RelationalMemory(3, mem_slots=2, head_size=4, num_blocks=2)
    norms = [module for module in core.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 6
    for norm in norms:
        assert norm.eps == 1e-5
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matmul_dtype": "float16"}, "matmul_dtype: 'float16' given, 'float32' or 'bfloat16' needed"),
        ({"recompute_steps": 0}, "recompute_steps: 0 given, at least 1 needed"),
        ({"mem_slots": 0}, "mem_slots: 0 given, at least 1"),
        ({"head_size": 0}, "head_size: 0"),
        ({"num_heads": 0}, "num_heads: 0"),
        ({"num_blocks": 0}, "num_blocks: 0"),
        ({"attention_mlp_layers": 0}, "attention_mlp_layers: 0"),
        ({"key_size": 0}, "key_size: 0"),
        ({"gate_style": "slot"}, "gate_style: 'slot' given, 'unit', 'memory' or None"),
        ({"attention_scale": "value"}, "attention_scale: 'value' given, 'key' or 'qkv'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelationalMemory(3, **{"mem_slots": 2, "head_size": 2, **options})
