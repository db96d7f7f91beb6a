"""A bank of LSTM cells, the paper's baseline in the manner of the Recurrent Entity Network (section 5.2, appendix A.2).

M small LSTMs read the same input side by side, none sees another, and their outputs are summed::

    i, f, o, g = W_m x + U_m h_m + b_m                                   for each cell m
    c_m ← σ(f) ∘ c_m + σ(i) ∘ tanh(g)          h_m ← σ(o) ∘ tanh(c_m)
    output = Σ_m h_m

It is what the relational memory would be without attention: a memory in slots that do not interact. The paper does
not say whether cells share their weights, nor how equal cells would differ. Here each has its own; with
``share_weights`` there is one W, U and b, and what tells the cells apart is a learnt key k_m, as in the Entity Network:
x becomes [x; k_m].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rmc_agents.core import Core
from rmc_agents.initialisers import initialise_
from rmc_agents.lstm import LSTMState, lstm_cell, with_lstm_gates
from rmc_agents.registry import register_core
from rmc_agents.trace import Trace


@register_core("lstm_bank")
class LSTMBankCore(Core):
    """A bank of LSTM cells. The state is ``(h, c)``, each ``[B, num_cells, cell_size]``; the output the sum of all h.

    Args:
        input_size: width of one input row.
        num_cells: M, number of LSTMs.
        cell_size: width of each; the output's width.
        share_weights: whether all cells have the same weights, and a key each.
        key_size: width of a key; ``None``: ``cell_size``. Without ``share_weights`` there are no keys.
        forget_bias: where the trained bias of the forget gates starts, see :class:`~rmc_agents.lstm.LSTMCore`.

    Raises:
        ValueError: a size below 1.
    """

    state_names = ("hidden states h", "cell states c")

    def __init__(
        self,
        input_size: int,
        *,
        num_cells: int = 4,
        cell_size: int = 128,
        share_weights: bool = False,
        key_size: int | None = None,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        key_size = cell_size if key_size is None else key_size
        sizes = {"input_size": input_size, "num_cells": num_cells, "cell_size": cell_size, "key_size": key_size}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        self.input_size = input_size
        self.output_size = cell_size
        self.num_cells = num_cells
        self.cell_size = cell_size
        self.share_weights = share_weights
        # For each cell the four gates in the order input, forget, output, candidate.
        sets = 1 if share_weights else num_cells
        self.from_input = nn.Linear(input_size, sets * 4 * cell_size)
        if share_weights:
            # W [x; k] has two parts: this is the key's. Keys are as far apart as rows of inputs of variance one.
            self.from_key = nn.Linear(key_size, 4 * cell_size, bias=False)
            self.keys = nn.Parameter(torch.randn(num_cells, key_size))
        hidden_maps = [nn.Linear(cell_size, 4 * cell_size, bias=False) for _ in range(sets)]
        initialise_(self)
        initialise_(nn.ModuleList(hidden_maps))
        # U of all sets as one tensor, [sets, cell_size, 4 * cell_size], so that a step takes a single batched product.
        self.from_hidden = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in hidden_maps]))
        gate_biases = self.from_input.bias.view(sets, 4, cell_size)
        nn.init.constant_(gate_biases[:, 1], forget_bias)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        """Zeros."""
        shape = (batch_size, self.num_cells, self.cell_size)
        device, dtype = self._place_and_type(device, dtype)
        return torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype)

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of the gates for all time steps, with the key's: ``[T, B, M, 4 * cell_size]``."""
        gates = self.from_input(inputs).unflatten(-1, (-1, 4 * self.cell_size))  # M sets, or one for all cells
        return gates + self.from_key(self.keys) if self.share_weights else gates

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step of all cells."""
        hidden, cell = state
        hidden, cell = lstm_cell(projected + self._from_hidden(hidden), cell)
        return hidden.sum(dim=1), (hidden, cell)

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: LSTMState, reset: Tensor) -> Trace:
        """As :meth:`rmc_agents.core.Core.trace`, with the gates of all cells."""
        trace = super().trace(inputs, state, reset)
        from_hidden = self._from_hidden(trace.memory_before[0].flatten(0, 1))  # of T * B items
        return with_lstm_gates(trace, self.project(inputs) + from_hidden.unflatten(0, inputs.shape[:2]))

    def _from_hidden(self, hidden: Tensor) -> Tensor:
        """The part of the gates that h ``[B, M, cell_size]`` makes, ``[B, M, 4 * cell_size]``."""
        if self.share_weights:
            return hidden @ self.from_hidden[0]
        return torch.bmm(hidden.transpose(0, 1), self.from_hidden).transpose(0, 1)
