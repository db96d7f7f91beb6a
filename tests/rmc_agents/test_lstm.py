from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rmc_agents import LSTMCore


def torch_lstm(core: LSTMCore) -> nn.LSTM:
    """PyTorch's LSTM with the weights of ``core``; its gate order is input, forget, candidate, output."""
    reference = nn.LSTM(core.input_size, core.hidden_size, core.num_layers)

    def reorder(weights: Tensor) -> Tensor:
        i, f, o, g = weights.detach().chunk(4)
        return torch.cat([i, f, g, o])

    for layer in range(core.num_layers):
        getattr(reference, f"weight_ih_l{layer}").data = reorder(core.from_input[layer].weight)
        getattr(reference, f"bias_ih_l{layer}").data = reorder(core.from_input[layer].bias)
        getattr(reference, f"weight_hh_l{layer}").data = reorder(core.from_hidden[layer].weight)
        getattr(reference, f"bias_hh_l{layer}").data.zero_()
    return reference


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_equals_the_lstm_of_pytorch(num_layers: int) -> None:
    torch.manual_seed(0)
    core = LSTMCore(4, hidden_size=6, num_layers=num_layers)
    hidden, cell = torch.randn(2, 3, num_layers, 6)
    inputs = torch.randn(7, 3, 4)
    outputs, state = core(inputs, (hidden, cell), torch.zeros(7, 3, dtype=torch.bool))
    # PyTorch keeps layers first: [num_layers, B, hidden].
    start = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
    expected, expected_state = torch_lstm(core)(inputs, start)
    torch.testing.assert_close(outputs, expected)
    for leaf, expected_leaf in zip(state, expected_state, strict=True):
        torch.testing.assert_close(leaf, expected_leaf.transpose(0, 1))


def test_initial_state_is_zero() -> None:
    core = LSTMCore(4, hidden_size=6, num_layers=2)
    hidden, cell = core.initial_state(3)
    assert hidden.shape == cell.shape == (3, 2, 6)
    assert not hidden.any()
    assert not cell.any()


def test_forget_bias_starts_at_its_option_and_other_biases_at_zero() -> None:
    for core, expected in (
        (LSTMCore(4, hidden_size=2, num_layers=2), 1.0),
        (LSTMCore(4, hidden_size=2, forget_bias=-3), -3.0),
    ):
        for layer in core.from_input:
            assert layer.bias.tolist() == [0, 0, expected, expected, 0, 0, 0, 0]


@pytest.mark.parametrize("option", ["hidden_size", "num_layers"])
def test_bad_sizes(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: 0 given, at least 1"):
        LSTMCore(4, **{option: 0})
    with pytest.raises(ValueError, match="input_size: 0 given"):
        LSTMCore(0)
