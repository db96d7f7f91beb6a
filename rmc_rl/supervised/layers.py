"""What the models of the supervised tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from rmc_agents.initialisers import initialise_
from rmc_rl.supervised.tasks.task import at_least


def mlp(input_size: int, hidden_sizes: Sequence[int], output_size: int) -> nn.Sequential:
    """Linear layers of these sizes, each followed by ReLU, and a linear one.

    Raises:
        ValueError: a size below 1.
    """
    for size in hidden_sizes:
        at_least(1, hidden_sizes=size)
    layers: list[nn.Module] = []
    for widths in pairwise([input_size, *hidden_sizes]):
        layers += [nn.Linear(*widths), nn.ReLU()]
    head = nn.Sequential(*layers, nn.Linear([input_size, *hidden_sizes][-1], output_size))
    initialise_(head)
    return head
