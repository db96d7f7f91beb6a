from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rmc_agents import LSTMBankCore


def torch_lstm(from_input: Tensor, bias: Tensor, from_hidden: Tensor) -> nn.LSTM:
    """PyTorch's LSTM with these weights ``[4C, ...]``, whose gates come as input, forget, output, candidate."""

    def reorder(weights: Tensor) -> Tensor:
        i, f, o, g = weights.detach().chunk(4)
        return torch.cat([i, f, g, o])

    reference = nn.LSTM(from_input.shape[1], from_hidden.shape[1])
    reference.weight_ih_l0.data, reference.bias_ih_l0.data = reorder(from_input), reorder(bias)
    reference.weight_hh_l0.data = reorder(from_hidden)
    reference.bias_hh_l0.data.zero_()
    return reference


def arguments(core: LSTMBankCore) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    hidden, cell = torch.randn(2, 3, core.num_cells, core.cell_size)
    return torch.randn(7, 3, core.input_size), (hidden, cell), torch.zeros(7, 3, dtype=torch.bool)


def check_against_cells(core: LSTMBankCore, cells: list[nn.LSTM], keys: Tensor) -> None:
    """One LSTM of PyTorch for each cell, reading the input and that cell's key; the outputs are summed."""
    inputs, (hidden, cell), reset = arguments(core)
    outputs, state = core(inputs, (hidden, cell), reset)
    total = torch.zeros_like(outputs)
    for m, (lstm, key) in enumerate(zip(cells, keys, strict=True)):
        own_inputs = torch.cat([inputs, key.expand(7, 3, -1)], dim=-1)
        start = (hidden[:, m].unsqueeze(0).contiguous(), cell[:, m].unsqueeze(0).contiguous())
        own_outputs, own_state = lstm(own_inputs, start)
        total += own_outputs
        for leaf, expected in zip(state, own_state, strict=True):
            torch.testing.assert_close(leaf[:, m], expected[0])
    torch.testing.assert_close(outputs, total)


def test_equals_separate_lstms_of_pytorch() -> None:
    torch.manual_seed(0)
    core = LSTMBankCore(4, num_cells=3, cell_size=5)
    weights = zip(
        core.from_input.weight.chunk(3), core.from_input.bias.chunk(3), core.from_hidden.transpose(1, 2), strict=True
    )
    check_against_cells(core, [torch_lstm(*parts) for parts in weights], torch.zeros(3, 0))


def test_shared_weights_equal_one_lstm_that_reads_a_key() -> None:
    torch.manual_seed(0)
    core = LSTMBankCore(4, num_cells=3, cell_size=5, share_weights=True, key_size=2)
    from_input = torch.cat([core.from_input.weight, core.from_key.weight], dim=1)
    lstm = torch_lstm(from_input, core.from_input.bias, core.from_hidden[0].t())
    check_against_cells(core, [lstm] * 3, core.keys.detach())


@pytest.mark.parametrize("share_weights", [False, True])
def test_cells_do_not_interact(share_weights: bool) -> None:
    torch.manual_seed(0)
    core = LSTMBankCore(4, num_cells=3, cell_size=5, share_weights=share_weights)
    inputs, (hidden, cell), reset = arguments(core)
    _, state = core(inputs, (hidden, cell), reset)
    hidden[:, 1] += 1
    _, other = core(inputs, (hidden, cell), reset)
    for leaf, other_leaf in zip(state, other, strict=True):
        assert torch.equal(leaf[:, [0, 2]], other_leaf[:, [0, 2]])
        assert not torch.equal(leaf[:, 1], other_leaf[:, 1])


@pytest.mark.parametrize("share_weights", [False, True])
def test_cells_differ_from_the_start(share_weights: bool) -> None:
    """From equal states and inputs they go apart; with shared weights it is the keys that do it."""
    torch.manual_seed(0)
    core = LSTMBankCore(4, num_cells=3, cell_size=5, share_weights=share_weights)
    inputs, _, reset = arguments(core)
    _, (hidden, _) = core(inputs, core.initial_state(3), reset)
    assert not torch.allclose(hidden[:, 0], hidden[:, 1], atol=0.01)
    if share_weights:
        nn.init.ones_(core.keys)
        _, (hidden, _) = core(inputs, core.initial_state(3), reset)
        torch.testing.assert_close(hidden[:, 0], hidden[:, 1])


def test_the_number_of_parameters() -> None:
    """Own weights: those of M LSTMs. Shared: those of one that reads the key too, and the keys."""
    lstm = 4 * 5 * (7 + 5 + 1)
    assert sum(p.numel() for p in LSTMBankCore(7, num_cells=3, cell_size=5).parameters()) == 3 * lstm
    shared = LSTMBankCore(7, num_cells=3, cell_size=5, share_weights=True, key_size=2)
    assert sum(p.numel() for p in shared.parameters()) == lstm + 4 * 5 * 2 + 3 * 2
    assert LSTMBankCore(7, num_cells=3, cell_size=5, share_weights=True).keys.shape == (3, 5)


def test_initial_state_is_zero() -> None:
    hidden, cell = LSTMBankCore(4, num_cells=2, cell_size=6).initial_state(3)
    assert hidden.shape == cell.shape == (3, 2, 6)
    assert not hidden.any()
    assert not cell.any()


@pytest.mark.parametrize("share_weights", [False, True])
def test_forget_bias_starts_at_its_option_and_other_biases_at_zero(share_weights: bool) -> None:
    for options, expected in (({}, 1.0), ({"forget_bias": -3}, -3.0)):
        core = LSTMBankCore(4, num_cells=2, cell_size=2, share_weights=share_weights, **options)
        sets = 1 if share_weights else 2
        assert core.from_input.bias.tolist() == [0, 0, expected, expected, 0, 0, 0, 0] * sets


@pytest.mark.parametrize("share_weights", [False, True])
def test_every_cells_weights_start_with_the_fan_in_of_one_cell(share_weights: bool) -> None:
    torch.manual_seed(0)
    core = LSTMBankCore(4, num_cells=3, cell_size=64, share_weights=share_weights)
    for weights in core.from_hidden:
        # A normal distribution cut at two deviations has 0.88 of its deviation; here that is 1 / 8.
        assert weights.std().item() == pytest.approx(0.88 / 8, rel=0.03)
        assert weights.abs().max() <= 2 / 8


@pytest.mark.parametrize("option", ["num_cells", "cell_size", "key_size"])
def test_bad_sizes(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: 0 given, at least 1"):
        LSTMBankCore(4, **{option: 0})
    with pytest.raises(ValueError, match="input_size: 0 given"):
        LSTMBankCore(0)
