"""The LSTM core, the baseline of the relational memory experiments.

Gates i, f, o and the candidate g come from the layer's input x and its last output h::

    i, f, o, g = W x + U h + b
    c ← σ(f) ∘ c + σ(i) ∘ tanh(g)          h ← σ(o) ∘ tanh(c)

The cell is written out instead of calling ``torch.nn.LSTM``, which cannot reset single items inside a sequence.

The paper's baseline for programs (appendix A.2) is a deep LSTM in which every layer reads the core's input beside the
layer below, and all layers' outputs together are the core's: ``skip_connections`` and ``concatenate_outputs``.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rmc_agents.core import Core
from rmc_agents.fast import has_kernels, plain
from rmc_agents.initialisers import initialise_
from rmc_agents.registry import register_core
from rmc_agents.trace import Trace

LSTMState = tuple[Tensor, Tensor]

_REPLACEABLE = frozenset({"initial_state", "project", "step", "activations", "forward"})
"""Methods that someone may have put another in the place of, on one module."""


@register_core("lstm")
class LSTMCore(Core):
    """A stack of LSTM layers. The state is ``(h, c)``, each ``[B, num_layers, hidden_size]``; the output the top h.

    Args:
        input_size: I, width of one input row.
        hidden_size: width of every layer.
        num_layers: layers; each reads the one below.
        forget_bias: where the trained bias of the forget gates starts. A constant added to a trained bias that starts
            at zero would be the same function and take the same gradient steps.
        skip_connections: every layer reads the core's input too: x = [input; h of the layer below].
        concatenate_outputs: the output is h of all layers, the lowest first, ``[B, num_layers * hidden_size]``.
        fast: whether whole unrolls may take the fast path of :mod:`rmc_agents.fast`: the same numbers but for
            rounding, differentiable once. It is taken for float32 on the CPU where numba is installed, unless the
            module is compiled, exported, hooked, changed or subclassed; everything else is computed as written here.

    Raises:
        ValueError: a size below 1.
    """

    state_names = ("hidden state h", "cell state c")
    fast: bool = True  # of modules pickled before there was this option

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 256,
        num_layers: int = 1,
        forget_bias: float = 1.0,
        skip_connections: bool = False,
        concatenate_outputs: bool = False,
        fast: bool = True,
    ) -> None:
        super().__init__()
        for name, size in {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        self.input_size = input_size
        self.output_size = hidden_size * num_layers if concatenate_outputs else hidden_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.skip_connections = skip_connections
        self.concatenate_outputs = concatenate_outputs
        self.fast = fast
        # For each layer the four gates in the order input, forget, output, candidate.
        widths = [input_size] + [input_size if skip_connections else hidden_size] * (num_layers - 1)
        self.from_input = nn.ModuleList(nn.Linear(width, 4 * hidden_size) for width in widths)
        self.from_hidden = nn.ModuleList(nn.Linear(hidden_size, 4 * hidden_size, bias=False) for _ in widths)
        # With skip connections W of an upper layer has two parts; here is that for the layer below.
        both = widths[1:] if skip_connections else []
        self.from_below = nn.ModuleList(nn.Linear(hidden_size, 4 * hidden_size, bias=False) for _ in both)
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

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The input's part of the gates, bias included, of each layer that reads it: ``[T, B, 4 * hidden_size]``."""
        readers = self.from_input if self.skip_connections else self.from_input[:1]
        return tuple(layer(inputs) for layer in readers)

    def unroll(self, inputs: Tensor, state: LSTMState, reset: Tensor) -> tuple[Tensor, LSTMState]:
        """All time steps: by the fast path where it is allowed and possible, otherwise step by step."""
        if self.fast and self.takes_fast_path(inputs, state):
            from rmc_agents.fast.lstm import unroll  # numba is imported with it, and no sooner

            return unroll(self, inputs, state, reset)
        return super().unroll(inputs, state, reset)

    def takes_fast_path(self, inputs: Tensor, state: LSTMState) -> bool:
        """Whether the fast path computes what this module, as it is now, would compute from these tensors."""
        if type(self) is not LSTMCore or not _REPLACEABLE.isdisjoint(self.__dict__):
            return False
        without_bias = [*self.from_hidden, *self.from_below]
        layers = [*self.from_input, *without_bias]
        if inputs.device.type != "cpu" or any(type(layer) is not nn.Linear for layer in layers):
            return False
        return plain([self, *layers], (inputs, *state), without_bias) and has_kernels()

    def step(self, projected: tuple[Tensor, ...], state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step through all layers."""
        hidden_rows: list[Tensor] = []
        cell_rows: list[Tensor] = []
        for layer, (hidden, cell) in enumerate(zip(state[0].unbind(1), state[1].unbind(1), strict=True)):
            below = hidden_rows[-1] if layer else None
            hidden, cell = lstm_cell(self.activations(layer, projected, below, hidden), cell)
            hidden_rows.append(hidden)
            cell_rows.append(cell)
        output = torch.cat(hidden_rows, dim=-1) if self.concatenate_outputs else hidden_rows[-1]
        return output, (torch.stack(hidden_rows, dim=1), torch.stack(cell_rows, dim=1))

    def activations(self, layer: int, projected: tuple[Tensor, ...], below: Tensor | None, hidden: Tensor) -> Tensor:
        """A layer's gates before their sigmoid and its candidate, ``[..., 4 * hidden_size]``: i, f, o, g.

        Args:
            layer: which one, from 0.
            projected: as :meth:`step`'s; more axes may stand before the last.
            below: the new h of the layer below, ``[..., hidden_size]``; the lowest has none.
            hidden: the layer's h before the step, ``[..., hidden_size]``.
        """
        if below is None:
            input_part = projected[0]
        elif self.skip_connections:
            input_part = projected[layer] + self.from_below[layer - 1](below)
        else:
            input_part = self.from_input[layer](below)
        return input_part + self.from_hidden[layer](hidden)

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: LSTMState, reset: Tensor) -> Trace:
        """As :meth:`rmc_agents.core.Core.trace`, with the gates of all layers."""
        trace = super().trace(inputs, state, reset)
        projected, before, after = self.project(inputs), trace.memory_before[0], trace.memory_after[0]
        layers = []
        for layer in range(self.num_layers):
            below = after[:, :, layer - 1] if layer else None
            layers.append(self.activations(layer, projected, below, before[:, :, layer]))
        return with_lstm_gates(trace, torch.stack(layers, dim=2))


def with_lstm_gates(trace: Trace, activations: Tensor) -> Trace:
    """A trace with the gates added, from all activations ``[T, B, rows, 4C]`` that :func:`lstm_cell` takes."""
    gates = torch.sigmoid(activations).chunk(4, dim=-1)
    return replace(trace, input_gate=gates[0], forget_gate=gates[1], output_gate=gates[2])


def lstm_cell(activations: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The new h and c ``[..., C]``, from the gates before their sigmoid and the candidate ``[..., 4C]``: i, f, o, g."""
    size = cell.shape[-1]
    gates, candidate = activations.split([3 * size, size], dim=-1)
    input_gate, forget_gate, output_gate = torch.sigmoid(gates).chunk(3, dim=-1)
    cell = forget_gate * cell + input_gate * torch.tanh(candidate)
    return output_gate * torch.tanh(cell), cell
