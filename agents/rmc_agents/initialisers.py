"""The initial weights shared by cores, torsos and heads: truncated normal by fan-in, biases zero.

These are the defaults of the library in which the relational memory was published, so every part of the agent starts
as that one does.
"""

from __future__ import annotations

import math

from torch import nn


def initialise_(module: nn.Module) -> None:
    """Initialise, in place, every linear and convolutional layer inside ``module`` (itself included).

    Weights: normal with standard deviation 1/√fan_in, redrawn beyond two standard deviations; biases: zero.
    Other layers (LayerNorm: scale 1, offset 0) keep what their constructors gave them.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            fan_in = layer.weight[0].numel()  # weight is [out, in, ...kernel]
            deviation = 1.0 / math.sqrt(fan_in)
            nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
