from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rmc_agents import ConvLSTMCore, ViewportTorso


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def same_convolution(cells: Any, weight: Any) -> Any:
    """Cell by cell: [H, W, C] to [H, W, out], weight [out, C, k, k], zeros around, the odd one below and right."""
    height, width, _ = cells.shape
    size = weight.shape[-1]
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    padded = np.pad(cells, ((before, after), (before, after), (0, 0)))
    result = np.zeros((height, width, len(weight)))
    for row in range(height):
        for column in range(width):
            result[row, column] = np.einsum("hwc,ochw->o", padded[row : row + size, column : column + size], weight)
    return result


def expected_outputs(core: ConvLSTMCore, inputs: Any, hidden: Any, cell: Any) -> Any:
    """The equations for one item, in float64: inputs [T, I], h and c [H, W, hidden] to h of every step."""
    height, width, channels = core.map_shape
    from_input, bias = core.from_input.weight.detach().numpy(), core.from_input.bias.detach().numpy()
    from_hidden = core.from_hidden.weight.detach().numpy()
    outputs = []
    for row in inputs:
        planes = np.zeros((height, width, channels + core.input_size - height * width * channels))
        for y in range(height):
            for x in range(width):
                start = (y * width + x) * channels
                planes[y, x] = [*row[start : start + channels], *row[height * width * channels :]]
        gates = same_convolution(planes, from_input) + same_convolution(hidden, from_hidden) + bias
        i, f, o, g = np.split(gates, 4, axis=-1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize("extra", [0, 3])
def test_values(kernel_size: int, extra: int) -> None:
    torch.manual_seed(0)
    core = ConvLSTMCore(
        2 * 4 * 3 + extra, height=2, width=4, channels=3, hidden_channels=5, kernel_size=kernel_size
    ).double()
    assert core.from_input.bias is not None
    torch.nn.init.normal_(core.from_input.bias)
    inputs = torch.randn(6, 3, core.input_size, dtype=torch.float64)
    hidden, cell = torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)
    outputs, state = core(inputs, (hidden, cell), torch.zeros(6, 3, dtype=torch.bool))
    assert outputs.shape == (6, 3, core.output_size) == (6, 3, 2 * 4 * 5)
    for item in range(3):
        expected = expected_outputs(core, inputs[:, item].numpy(), hidden[item].numpy(), cell[item].numpy())
        np.testing.assert_allclose(outputs[:, item].detach().numpy(), expected.reshape(6, -1), atol=1e-12)
        np.testing.assert_allclose(state[0][item].detach().numpy(), expected[-1], atol=1e-12)


def test_a_cell_sees_as_far_as_its_kernel_each_step() -> None:
    """What differs in one cell of the input reaches its neighbours above and to the left, one cell a step."""
    torch.manual_seed(0)
    core = ConvLSTMCore(5 * 5 * 2, height=5, width=5, channels=2, hidden_channels=3)
    inputs = torch.randn(4, 1, 5 * 5 * 2)
    other = inputs.clone()
    other[0].view(1, 5, 5, 2)[:, 3, 3] += 1
    reset = torch.zeros(4, 1, dtype=torch.bool)
    outputs, _ = core(inputs, core.initial_state(1), reset)
    other_outputs, _ = core(other, core.initial_state(1), reset)
    reached = (outputs != other_outputs).unflatten(-1, (5, 5, 3)).any(dim=-1)[:, 0]
    # A 2 x 2 kernel reads the cell, the one to the right and those below: one step with the input, one more with h.
    for step, cells in enumerate(reached):
        expected = torch.zeros(5, 5, dtype=torch.bool)
        first = max(2 - step, 0)
        expected[first:4, first:4] = True
        assert torch.equal(cells, expected)


def test_the_papers_sizes() -> None:
    torso = ViewportTorso((5, 5, 6))
    assert torso.map_shape is not None
    height, width, channels = torso.map_shape
    core = ConvLSTMCore(torso.output_size + 4 + 1, height=height, width=width, channels=channels)
    assert core.output_size == 5 * 5 * 64
    kernels = 4 * 64 * (26 + 5 + 64) * 2 * 2
    assert sum(p.numel() for p in core.parameters()) == kernels + 4 * 64


def test_initial_state_is_zero() -> None:
    hidden, cell = ConvLSTMCore(7, height=3, width=2, channels=1, hidden_channels=4).initial_state(3)
    assert hidden.shape == cell.shape == (3, 3, 2, 4)
    assert not hidden.any()
    assert not cell.any()


def test_forget_bias_starts_at_its_option_and_other_biases_at_zero() -> None:
    for options, expected in (({}, 1.0), ({"forget_bias": -3}, -3.0)):
        core = ConvLSTMCore(6, height=3, width=2, channels=1, hidden_channels=2, **options)
        assert core.from_input.bias is not None
        assert core.from_input.bias.tolist() == [0, 0, expected, expected, 0, 0, 0, 0]


@pytest.mark.parametrize("option", ["height", "width", "channels", "hidden_channels", "kernel_size"])
def test_bad_sizes(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: 0 given, at least 1"):
        ConvLSTMCore(6, **({"height": 3, "width": 2, "channels": 1} | {option: 0}))
    with pytest.raises(ValueError, match="input_size: 0 given"):
        ConvLSTMCore(0, height=1, width=1, channels=1)


def test_a_map_larger_than_the_input() -> None:
    message = "height, width, channels: 3 x 2 x 2 = 12 given, but an input row has 11 numbers: the size of the torso's"
    with pytest.raises(ValueError, match=message):
        ConvLSTMCore(11, height=3, width=2, channels=2)
