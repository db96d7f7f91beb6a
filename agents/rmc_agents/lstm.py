"""The LSTM core, the baseline of the relational memory experiments.

Gates i, f, o and the candidate g come from the layer's input x and its last output h::

    c ← σ(f) ∘ c + σ(i) ∘ tanh(g)          h ← σ(o) ∘ tanh(c)

The cell is written out instead of calling ``torch.nn.LSTM``, which cannot reset single items inside a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rmc_agents.core import Core
from rmc_agents.initialisers import initialise_
from rmc_agents.registry import register_core

LSTMState = tuple[Tensor, Tensor]


@register_core("lstm")
class LSTMCore(Core):
    """A stack of LSTM layers. The state is ``(h, c)``, each ``[B, num_layers, hidden_size]``; the output the top h.

    Args:
        input_size: width of one input row.
        hidden_size: width of every layer.
        num_layers: layers; each reads the one below.
        forget_bias: where the trained bias of the forget gates starts. A constant added to a trained bias that starts
            at zero would be the same function and take the same gradient steps.

    Raises:
        ValueError: a size below 1.
    """

    state_names = ("hidden state h", "cell state c")

    def __init__(
        self, input_size: int, *, hidden_size: int = 256, num_layers: int = 1, forget_bias: float = 1.0
    ) -> None:
        super().__init__()
        for name, size in {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        self.input_size = input_size
        self.output_size = hidden_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        # For each layer the four gates in the order input, forget, output, candidate.
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.from_input = nn.ModuleList(nn.Linear(width, 4 * hidden_size) for width in widths)
        self.from_hidden = nn.ModuleList(nn.Linear(hidden_size, 4 * hidden_size, bias=False) for _ in widths)
        initialise_(self)
        for layer in self.from_input:
            assert isinstance(layer, nn.Linear)
            nn.init.constant_(layer.bias[hidden_size : 2 * hidden_size], forget_bias)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        """Zeros."""
        shape = (batch_size, self.num_layers, self.hidden_size)
        device, dtype = self._place_and_type(device, dtype)
        return torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype)

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of the first layer's gates for all time steps, ``[T, B, 4 * hidden_size]``."""
        return self.from_input[0](inputs)

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step through all layers."""
        hidden_rows, cell_rows = [], []
        below = projected
        for layer, (hidden, cell) in enumerate(zip(state[0].unbind(1), state[1].unbind(1), strict=True)):
            input_part = below if layer == 0 else self.from_input[layer](below)
            activations = input_part + self.from_hidden[layer](hidden)  # [B, 4 * hidden_size]
            gates, candidate = activations.split([3 * self.hidden_size, self.hidden_size], dim=-1)
            input_gate, forget_gate, output_gate = torch.sigmoid(gates).chunk(3, dim=-1)
            cell = forget_gate * cell + input_gate * torch.tanh(candidate)
            below = output_gate * torch.tanh(cell)
            hidden_rows.append(below)
            cell_rows.append(cell)
        return below, (torch.stack(hidden_rows, dim=1), torch.stack(cell_rows, dim=1))
