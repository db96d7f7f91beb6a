from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rmc_agents import GridTorso, LSTMCore, MLPTorso, RelationalMemory, ValueHead, ViewportTorso
from rmc_agents.initialisers import initialise_

TRUNCATION = 0.8796  # standard deviation of a unit normal cut at two standard deviations


@pytest.mark.parametrize("layer", [nn.Linear(300, 200), nn.Conv2d(20, 100, kernel_size=(3, 5))])
def test_weights_are_truncated_normal_by_fan_in(layer: nn.Linear | nn.Conv2d) -> None:
    torch.manual_seed(0)
    initialise_(layer)
    weights = layer.weight.detach() * math.sqrt(300)  # both have 300 inputs; now of unit scale
    assert weights.abs().max() <= 2 * (1 + 1e-6)
    assert weights.abs().max() > 1.99
    assert weights.mean().abs() < 5 / math.sqrt(weights.numel())
    assert weights.std().item() == pytest.approx(TRUNCATION, rel=0.02)
    # 68.27 % of a normal lie within one standard deviation, and 95.45 % are left after the cut.
    assert (weights.abs() < 1).float().mean().item() == pytest.approx(0.6827 / 0.9545, abs=0.01)
    assert (layer.bias == 0).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: RelationalMemory(7, mem_slots=2, head_size=4, num_blocks=2),
        lambda: LSTMCore(7, hidden_size=5, num_layers=2),
        lambda: ViewportTorso((5, 5, 3)),
        lambda: GridTorso((9, 9, 3)),
        lambda: MLPTorso((7,)),
        lambda: ValueHead(7),
    ],
)
def test_every_part_starts_this_way(build: type[nn.Module]) -> None:
    """No layer kept the default of PyTorch, whose biases are not zero and whose weights end at sqrt(1 / fan_in)."""
    torch.manual_seed(0)
    module = build()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    scaled = torch.cat([(layer.weight * math.sqrt(layer.weight[0].numel())).flatten() for layer in layers])
    assert 1 < scaled.abs().max() <= 2 * (1 + 1e-6)
    for layer in layers:
        if layer.bias is not None and not isinstance(module, LSTMCore):
            assert (layer.bias == 0).all()
