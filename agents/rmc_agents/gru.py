"""The GRU core (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", arXiv 1406.1078).

An update gate z decides how much of each unit stays, a reset gate r how much of it the candidate n sees::

    z, r = σ(W x + U h + b)          n = tanh(W_n x + b_n + r ∘ (U_n h + b_h))          h ← z ∘ h + (1 - z) ∘ n

This is the form of ``torch.nn.GRU`` and cuDNN, where r acts after the product with U_n; the original has U_n (r ∘ h),
a second product that must wait for the first. The cell is written out because ``torch.nn.GRU`` cannot reset single
items inside a sequence.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rmc_agents.core import Core
from rmc_agents.initialisers import initialise_
from rmc_agents.registry import register_core
from rmc_agents.trace import Trace


@register_core("gru")
class GRUCore(Core):
    """A stack of GRU layers. The state is h, ``[B, num_layers, hidden_size]``; the output the top h.

    Args:
        input_size: width of one input row.
        hidden_size: width of every layer.
        num_layers: layers; each reads the one below.

    Raises:
        ValueError: a size below 1.
    """

    state_names = ("hidden state h",)

    def __init__(self, input_size: int, *, hidden_size: int = 256, num_layers: int = 1) -> None:
        super().__init__()
        for name, size in {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        self.input_size = input_size
        self.output_size = hidden_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        # For each layer the two gates and the candidate in the order update, reset, candidate.
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.from_input = nn.ModuleList(nn.Linear(width, 3 * hidden_size) for width in widths)
        self.from_hidden = nn.ModuleList(nn.Linear(hidden_size, 3 * hidden_size, bias=False) for _ in widths)
        # b_h of each layer; the gates need no second bias.
        self.candidate_bias = nn.Parameter(torch.zeros(num_layers, hidden_size))
        initialise_(self)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Zeros."""
        device, dtype = self._place_and_type(device, dtype)
        return torch.zeros(batch_size, self.num_layers, self.hidden_size, device=device, dtype=dtype)

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of the first layer's gates and candidate, ``[T, B, 3 * hidden_size]``."""
        return self.from_input[0](inputs)

    def step(self, projected: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One time step through all layers."""
        rows: list[Tensor] = []
        for layer, hidden in enumerate(state.unbind(1)):
            input_part = projected if layer == 0 else self.from_input[layer](rows[-1])
            update_gate, _, candidate = self._gates(layer, input_part, hidden)
            rows.append(candidate + update_gate * (hidden - candidate))  # z ∘ h + (1 - z) ∘ n
        return rows[-1], torch.stack(rows, dim=1)

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: Tensor, reset: Tensor) -> Trace:
        """As :meth:`rmc_agents.core.Core.trace`, with the gates of all layers: z forgets, what enters is 1 - z."""
        trace = super().trace(inputs, state, reset)
        update_gates, reset_gates = [], []
        for layer in range(self.num_layers):
            below = trace.memory_after[:, :, layer - 1] if layer else None
            input_part = self.project(inputs) if below is None else self.from_input[layer](below)
            update_gate, reset_gate, _ = self._gates(layer, input_part, trace.memory_before[:, :, layer])
            update_gates.append(update_gate)
            reset_gates.append(reset_gate)
        update = torch.stack(update_gates, dim=2)
        return replace(trace, input_gate=1 - update, forget_gate=update, reset_gate=torch.stack(reset_gates, dim=2))

    def _gates(self, layer: int, input_part: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z, r and n of a layer, each ``[..., hidden_size]``, from W x + b ``[..., 3 * hidden_size]`` and h."""
        sizes = [2 * self.hidden_size, self.hidden_size]
        gate_input, candidate_input = input_part.split(sizes, dim=-1)
        gate_hidden, candidate_hidden = self.from_hidden[layer](hidden).split(sizes, dim=-1)
        update_gate, reset_gate = torch.sigmoid(gate_input + gate_hidden).chunk(2, dim=-1)
        candidate = torch.tanh(candidate_input + reset_gate * (candidate_hidden + self.candidate_bias[layer]))
        return update_gate, reset_gate, candidate
