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


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("concatenate_outputs", [False, True])
def test_skip_connections_and_concatenated_outputs(num_layers: int, concatenate_outputs: bool) -> None:
    """One layer of PyTorch after the other, each over the whole sequence: [input; outputs of the layer below]."""
    torch.manual_seed(0)
    core = LSTMCore(
        4, hidden_size=6, num_layers=num_layers, skip_connections=True, concatenate_outputs=concatenate_outputs
    )
    hidden, cell = torch.randn(2, 3, num_layers, 6)
    inputs = torch.randn(7, 3, 4)
    outputs, state = core(inputs, (hidden, cell), torch.zeros(7, 3, dtype=torch.bool))
    layers: list[Tensor] = []
    for layer in range(num_layers):
        single = LSTMCore(4 + 6 * (layer > 0), hidden_size=6)
        parts = [core.from_input[layer].weight] + [below.weight for below in core.from_below[layer - 1 : layer]]
        single.from_input[0].weight.data = torch.cat(parts, dim=1)
        single.from_input[0].bias.data = core.from_input[layer].bias.data
        single.from_hidden[0].weight.data = core.from_hidden[layer].weight.data
        start = (hidden[None, :, layer].contiguous(), cell[None, :, layer].contiguous())
        layer_outputs, layer_state = torch_lstm(single)(torch.cat([inputs, *layers[-1:]], dim=-1), start)
        layers.append(layer_outputs)
        for leaf, expected in zip(state, layer_state, strict=True):
            torch.testing.assert_close(leaf[:, layer], expected[0])
    expected = torch.cat(layers, dim=-1) if concatenate_outputs else layers[-1]
    assert outputs.shape == (7, 3, core.output_size)
    torch.testing.assert_close(outputs, expected)


def test_concatenated_outputs_of_a_plain_stack() -> None:
    torch.manual_seed(0)
    core = LSTMCore(4, hidden_size=6, num_layers=3, concatenate_outputs=True)
    inputs, reset = torch.randn(7, 3, 4), torch.zeros(7, 3, dtype=torch.bool)
    outputs, (hidden, _) = core(inputs, core.initial_state(3), reset)
    assert torch.equal(outputs[-1], hidden.flatten(1))
    plain = LSTMCore(4, hidden_size=6, num_layers=3)
    plain.load_state_dict(core.state_dict())
    assert torch.equal(outputs[..., -6:], plain(inputs, core.initial_state(3), reset)[0])


def test_only_skip_connections_add_parameters() -> None:
    names = ["from_input.0.weight", "from_input.0.bias", "from_hidden.0.weight"]
    assert list(LSTMCore(4, hidden_size=6).state_dict()) == names
    assert list(LSTMCore(4, hidden_size=6, skip_connections=True, concatenate_outputs=True).state_dict()) == names
    gates = 4 * 6
    for skip_connections, upper_inputs in ((False, 6), (True, 4 + 6)):
        core = LSTMCore(4, hidden_size=6, num_layers=3, skip_connections=skip_connections)
        expected = gates * (4 + 6 + 1) + 2 * gates * (upper_inputs + 6 + 1)
        assert sum(p.numel() for p in core.parameters()) == expected


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
