"""The convolutional LSTM core (Shi et al. 2015, arXiv 1506.04214), the paper's baseline for BoxWorld (appendix A.3).

State and gates are maps over the cells of the picture, and the products of an LSTM are convolutions over them::

    i, f, o, g = W * x + U * h + b
    c ← σ(f) ∘ c + σ(i) ∘ tanh(g)          h ← σ(o) ∘ tanh(c)

as in the authors' library without peepholes. Maps keep their size: zeros are added around them, of an even kernel's
odd row and column the extra one below and to the right.

What a core is given are rows of numbers. The first of a row are the torso's map, cell by cell
(:attr:`rmc_agents.torso.Torso.map_shape`); what follows them, such as the last action and reward, belongs to no cell
and is shown to all: each number is one more channel of x, the same in every cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmc_agents.core import Core
from rmc_agents.initialisers import initialise_
from rmc_agents.lstm import LSTMState, lstm_cell, with_lstm_gates
from rmc_agents.registry import register_core
from rmc_agents.trace import Trace


@register_core("conv_lstm")
class ConvLSTMCore(Core):
    """One convolutional LSTM. The state is ``(h, c)``, each ``[B, height, width, hidden_channels]``.

    The output is h, flattened cell by cell to ``[B, height * width * hidden_channels]``.

    Args:
        input_size: width of one input row, at least ``height * width * channels``.
        height: rows of the map.
        width: columns of the map.
        channels: numbers of each cell in the input's map.
        hidden_channels: numbers of each cell in h and c.
        kernel_size: side of the kernels of both convolutions.
        forget_bias: where the trained bias of the forget gates starts, see :class:`~rmc_agents.lstm.LSTMCore`.

    Attributes:
        map_shape: (height, width, channels); an agent compares it with its torso's.

    Raises:
        ValueError: a size below 1, or a map larger than the input row.
    """

    state_names = ("hidden state h", "cell state c")

    def __init__(
        self,
        input_size: int,
        *,
        height: int,
        width: int,
        channels: int,
        hidden_channels: int = 64,
        kernel_size: int = 2,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "height": height,
            "width": width,
            "channels": channels,
            "hidden_channels": hidden_channels,
            "kernel_size": kernel_size,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        map_size = height * width * channels
        if map_size > input_size:
            raise ValueError(
                f"height, width, channels: {height} x {width} x {channels} = {map_size} given, but an input row has "
                f"{input_size} numbers: the size of the torso's map needed, and a torso that has one ('viewport')"
            )
        self.input_size = input_size
        self.output_size = height * width * hidden_channels
        self.map_shape = (height, width, channels)
        self.hidden_channels = hidden_channels
        before, after = (kernel_size - 1) // 2, kernel_size // 2
        self.padding = (before, after, before, after)  # left, right, above, below
        # For each cell the four gates in the order input, forget, output, candidate.
        planes = channels + input_size - map_size
        self.from_input = nn.Conv2d(planes, 4 * hidden_channels, kernel_size)
        self.from_hidden = nn.Conv2d(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)
        initialise_(self)
        assert self.from_input.bias is not None
        nn.init.constant_(self.from_input.bias[hidden_channels : 2 * hidden_channels], forget_bias)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        """Zeros."""
        shape = (batch_size, *self.map_shape[:2], self.hidden_channels)
        device, dtype = self._place_and_type(device, dtype)
        return torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype)

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of the gates for all time steps, ``[T, B, height, width, 4 * hidden_channels]``."""
        height, width, channels = self.map_shape
        cells, shared = inputs.flatten(0, 1).tensor_split([height * width * channels], dim=-1)
        cells = cells.unflatten(-1, self.map_shape)  # [T * B, H, W, C]
        shared = shared[:, None, None].expand(-1, height, width, -1)
        gates = self._convolve(self.from_input, torch.cat([cells, shared], dim=-1))
        return gates.unflatten(0, inputs.shape[:2])

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step."""
        hidden, cell = state
        hidden, cell = lstm_cell(projected + self._convolve(self.from_hidden, hidden), cell)
        return hidden.flatten(1), (hidden, cell)

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: LSTMState, reset: Tensor) -> Trace:
        """As :meth:`rmc_agents.core.Core.trace`, with the gates of all cells of the map, each a row."""
        trace = super().trace(inputs, state, reset)
        from_hidden = self._convolve(self.from_hidden, trace.memory_before[0].flatten(0, 1))
        activations = self.project(inputs) + from_hidden.unflatten(0, inputs.shape[:2])  # [T, B, H, W, 4C]
        return with_lstm_gates(trace, activations.flatten(2, 3))

    def _convolve(self, convolution: nn.Module, cells: Tensor) -> Tensor:
        """A convolution that keeps the map's size: ``[N, H, W, C]`` to ``[N, H, W, C']``."""
        maps = F.pad(cells.permute(0, 3, 1, 2), self.padding)  # [N, C, H', W'], a channels-last view
        return convolution(maps).permute(0, 2, 3, 1)
