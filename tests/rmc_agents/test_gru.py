from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rmc_agents import GRUCore


def torch_gru(core: GRUCore) -> nn.GRU:
    """PyTorch's GRU with the weights of ``core``; its order is reset, update, candidate."""
    reference = nn.GRU(core.input_size, core.hidden_size, core.num_layers)

    def reorder(weights: Tensor) -> Tensor:
        z, r, n = weights.detach().chunk(3)
        return torch.cat([r, z, n])

    for layer in range(core.num_layers):
        getattr(reference, f"weight_ih_l{layer}").data = reorder(core.from_input[layer].weight)
        getattr(reference, f"bias_ih_l{layer}").data = reorder(core.from_input[layer].bias)
        getattr(reference, f"weight_hh_l{layer}").data = reorder(core.from_hidden[layer].weight)
        getattr(reference, f"bias_hh_l{layer}").data.zero_()
        getattr(reference, f"bias_hh_l{layer}").data[2 * core.hidden_size :] = core.candidate_bias[layer].detach()
    return reference


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_equals_the_gru_of_pytorch(num_layers: int) -> None:
    torch.manual_seed(0)
    core = GRUCore(4, hidden_size=6, num_layers=num_layers)
    for parameter in core.parameters():  # biases too
        nn.init.normal_(parameter, std=0.5)
    hidden = torch.randn(3, num_layers, 6)
    inputs = torch.randn(7, 3, 4)
    outputs, state = core(inputs, hidden, torch.zeros(7, 3, dtype=torch.bool))
    # PyTorch keeps layers first: [num_layers, B, hidden].
    expected, expected_state = torch_gru(core)(inputs, hidden.transpose(0, 1).contiguous())
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, expected_state.transpose(0, 1))


def test_initial_state_is_zero() -> None:
    state = GRUCore(4, hidden_size=6, num_layers=2).initial_state(3)
    assert state.shape == (3, 2, 6)
    assert not state.any()


def test_biases_start_at_zero() -> None:
    core = GRUCore(4, hidden_size=2, num_layers=2)
    assert not core.candidate_bias.any()
    assert not any(layer.bias.any() for layer in core.from_input)


@pytest.mark.parametrize("option", ["hidden_size", "num_layers"])
def test_bad_sizes(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: 0 given, at least 1"):
        GRUCore(4, **{option: 0})
    with pytest.raises(ValueError, match="input_size: 0 given"):
        GRUCore(0)
