"""The Differentiable Neural Computer (Graves et al. 2016), a baseline of the relational memory's supervised tasks.

A controller reads the input and the words it last read from a memory of N slots, and says what to write and to read.
A head does not touch one slot but all, each by its weight: a weighting is at least 0 everywhere and sums to at most 1.
One time step, with sums and products Π over the K write heads::

    y = controller([x; read words])                             ξ = W_ξ y + b_ξ: gates, keys, strengths, vectors

    write    u ← u + (1 - u)(1 - Π(1 - w))                      what the last step wrote is in use
             u ← u Π_r (1 - free_r w_r)                         unless a read head frees it
             a = allocation(u)                                  the least used slots first
             w = g_write (g_alloc a + (1 - g_alloc) c_write)    c: content weights, softmax of β cos(key, M_i)
             M ← M ∘ Π(1 - w eᵀ) + Σ w vᵀ

    link     L_ij ← (1 - w_i - w_j) L_ij + w_i p_j, L_ii = 0    slot i was written right after slot j
             p ← (1 - Σ_i w_i) p + w                            what was written last

    read     w_r = π_backward Lᵀ w_r + π_forward L w_r + π_content c_read          by the new M and L
             read words = w_r M

    output = W_o [y; read words] + b_o

Everything starts at zero. Controller and output are clipped. Details follow the authors' released implementation;
there no gradient flows through the w of the first line. Choices of this package, where no source was at hand: a deep
controller is wired as the paper's deep LSTM (:mod:`rmc_agents.lstm`), a feed-forward one has ReLUs, and each of several
write heads finds u raised to u + (1 - u) g_write g_alloc a by the one before it. The link has N² elements for every
item and write head.

Slots have no order, and those never written are alike: which of them is taken next may hang on the last bit of a sum.
The outputs do not depend on it, but two computations of the same state may differ by the order of such slots.
"""

from __future__ import annotations

import functools
import operator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmc_agents.core import Core
from rmc_agents.initialisers import initialise_
from rmc_agents.lstm import LSTMCore
from rmc_agents.registry import register_core
from rmc_agents.tree import Tree, map_tree

EPSILON = 1e-6
"""Keeps norms and usages away from zero."""

DNCState = dict[str, Tree]


@register_core("dnc")
class DNCCore(Core):
    """Differentiable Neural Computer.

    The state is a dict, with N = ``mem_slots``, W = ``word_size``, R = ``num_reads``, K = ``num_writes``:

    ================ ============== ======================================================================
    controller       a tree         the controller's own memory, of the LSTM ``(h, c)``
    read_words       [B, R, W]      what was read last
    memory           [B, N, W]      M
    usage            [B, N]         u, in [0, 1]
    link             [B, K, N, N]   L, its rows and columns sum to at most 1
    precedence       [B, K, N]      p, a weighting
    read_weights     [B, R, N]      w_r, weightings
    write_weights    [B, K, N]      w, weightings
    ================ ============== ======================================================================

    Args:
        input_size: width of one input row.
        mem_slots: N, slots of the memory.
        word_size: W, width of a slot.
        num_reads: R, read heads.
        num_writes: K, write heads.
        hidden_size: width of every layer of the controller.
        num_layers: layers of the controller.
        controller: ``"lstm"``, or ``"feedforward"``: linear layers, each followed by ReLU, so that the slots are the
            only memory.
        output_size: width of one output row.
        clip_value: the controller's output and state and the core's output are clipped to ± this; ``None``: not.
        forget_bias: of the LSTM controller, see :class:`~rmc_agents.lstm.LSTMCore`.
        usage_gradient: whether gradients flow through the write weights into the usage. They are then those of the
            function computed; the authors stop them there.

    Raises:
        ValueError: a size below 1, an unknown ``controller``, or a ``clip_value`` that is not above 0.
    """

    def __init__(
        self,
        input_size: int,
        *,
        mem_slots: int = 16,
        word_size: int = 16,
        num_reads: int = 4,
        num_writes: int = 1,
        hidden_size: int = 64,
        num_layers: int = 1,
        controller: str = "lstm",
        output_size: int = 64,
        clip_value: float | None = 20.0,
        forget_bias: float = 1.0,
        usage_gradient: bool = False,
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "mem_slots": mem_slots,
            "word_size": word_size,
            "num_reads": num_reads,
            "num_writes": num_writes,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "output_size": output_size,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: {size} given, at least 1 needed")
        if controller not in ("lstm", "feedforward"):
            raise ValueError(f"controller: {controller!r} given, 'lstm' or 'feedforward' needed")
        if clip_value is not None and not clip_value > 0:
            raise ValueError(f"clip_value: {clip_value} given, a number above 0 or None needed")
        self.input_size = input_size
        self.output_size = output_size
        self.mem_slots = mem_slots
        self.word_size = word_size
        self.num_reads = num_reads
        self.num_writes = num_writes
        self.clip_value = clip_value
        self.usage_gradient = usage_gradient

        self.controller: LSTMCore | FeedForward
        if controller == "lstm":
            self.controller = LSTMCore(
                input_size,
                hidden_size=hidden_size,
                num_layers=num_layers,
                forget_bias=forget_bias,
                skip_connections=True,
                concatenate_outputs=True,
            )
            reading_sizes = [4 * hidden_size] * num_layers
        else:
            self.controller = FeedForward(input_size, hidden_size=hidden_size, num_layers=num_layers)
            reading_sizes = [hidden_size]
        self.state_names = (
            *(f"controller's {name}" for name in self.controller.state_names),
            *("read words", "memory", "usage", "link", "precedence", "read weights", "write weights"),
        )
        # The controller reads [x; read words]: this is the second part of each of its layers that does.
        self.reading_sizes = reading_sizes
        self.from_read_words = nn.Linear(num_reads * word_size, sum(reading_sizes), bias=False)
        self.interface_shapes = {
            "write_vectors": (num_writes, word_size),
            "erase_vectors": (num_writes, word_size),
            "write_keys": (num_writes, word_size),
            "read_keys": (num_reads, word_size),
            "read_modes": (num_reads, 1 + 2 * num_writes),
            "write_strengths": (num_writes,),
            "read_strengths": (num_reads,),
            "free_gates": (num_reads,),
            "allocation_gates": (num_writes,),
            "write_gates": (num_writes,),
        }
        interface_size = sum(map(torch.Size.numel, map(torch.Size, self.interface_shapes.values())))
        self.interface = nn.Linear(self.controller.output_size, interface_size)
        self.output = nn.Linear(self.controller.output_size + num_reads * word_size, output_size)
        for layer in (self.from_read_words, self.interface, self.output):
            initialise_(layer)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> DNCState:
        """Zeros."""
        device, dtype = self._place_and_type(device, dtype)
        shapes = {
            "read_words": (self.num_reads, self.word_size),
            "memory": (self.mem_slots, self.word_size),
            "usage": (self.mem_slots,),
            "link": (self.num_writes, self.mem_slots, self.mem_slots),
            "precedence": (self.num_writes, self.mem_slots),
            "read_weights": (self.num_reads, self.mem_slots),
            "write_weights": (self.num_writes, self.mem_slots),
        }
        zeros = {name: torch.zeros(batch_size, *shape, device=device, dtype=dtype) for name, shape in shapes.items()}
        return {"controller": self.controller.initial_state(batch_size, device, dtype), **zeros}

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The input's part of the controller's layers for all time steps, see ``project`` of the controller."""
        return self.controller.project(inputs)

    def step(self, projected: tuple[Tensor, ...], state: DNCState) -> tuple[Tensor, DNCState]:
        """One time step: control, write, link, read."""
        from_read_words = self.from_read_words(state["read_words"].flatten(1)).split(self.reading_sizes, dim=-1)
        parts = tuple(map(operator.add, projected, from_read_words))
        control, controller_state = self.controller.step(parts, state["controller"])
        control, controller_state = self._clip(control), map_tree(self._clip, controller_state)
        interface = self.read_interface(control)

        last_written = state["write_weights"] if self.usage_gradient else state["write_weights"].detach()
        usage = usage_after_write(state["usage"], last_written)
        usage = usage_after_free(usage, interface["free_gates"], state["read_weights"])
        write_weights = self.write_weights(interface, state["memory"], usage)
        memory = write(state["memory"], write_weights, interface["erase_vectors"], interface["write_vectors"])

        link = next_link(state["link"], state["precedence"], write_weights)
        precedence = next_precedence(state["precedence"], write_weights)

        read_weights = self.read_weights(interface, memory, link, state["read_weights"])
        read_words = read_weights @ memory  # [B, R, W]
        output = self._clip(self.output(torch.cat([control, read_words.flatten(1)], dim=-1)))
        return output, {
            "controller": controller_state,
            "read_words": read_words,
            "memory": memory,
            "usage": usage,
            "link": link,
            "precedence": precedence,
            "read_weights": read_weights,
            "write_weights": write_weights,
        }

    def read_interface(self, control: Tensor) -> dict[str, Tensor]:
        """What the controller's output ``[B, Y]`` tells the heads: each part in its range, ``[B, heads, ...]``."""
        shapes = self.interface_shapes
        sizes = [torch.Size(shape).numel() for shape in shapes.values()]
        parts = self.interface(control).split(sizes, dim=-1)
        interface = {name: part.unflatten(-1, shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        for name in ("erase_vectors", "free_gates", "allocation_gates", "write_gates"):
            interface[name] = torch.sigmoid(interface[name])
        for name in ("write_strengths", "read_strengths"):
            interface[name] = F.softplus(interface[name])
        interface["read_modes"] = torch.softmax(interface["read_modes"], dim=-1)
        return interface

    def write_weights(self, interface: dict[str, Tensor], memory: Tensor, usage: Tensor) -> Tensor:
        """Where each write head writes, ``[B, K, N]``: to unused slots, or to those whose content is like its key."""
        content = content_weights(memory, interface["write_keys"], interface["write_strengths"])
        weights = []
        for head in range(self.num_writes):
            write_gate = interface["write_gates"][:, head, None]
            allocation_gate = interface["allocation_gates"][:, head, None]
            allocation = allocation_weights(usage)
            weights.append(write_gate * (allocation_gate * allocation + (1 - allocation_gate) * content[:, head]))
            # What this head takes, the next one does not find unused.
            usage = usage + (1 - usage) * write_gate * allocation_gate * allocation
        return torch.stack(weights, dim=1)

    def read_weights(self, interface: dict[str, Tensor], memory: Tensor, link: Tensor, last: Tensor) -> Tensor:
        """Where each read head reads, ``[B, R, N]``; ``last`` are the read weights of the step before."""
        backward = last.unsqueeze(1) @ link  # Lᵀ w_r of every write head's link, [B, K, R, N]
        forward = last.unsqueeze(1) @ link.transpose(-1, -2)  # L w_r
        content = content_weights(memory, interface["read_keys"], interface["read_strengths"])
        ways = torch.cat([backward, forward, content.unsqueeze(1)], dim=1)  # [B, 2K + 1, R, N]
        modes = interface["read_modes"].transpose(1, 2).unsqueeze(-1)  # [B, 2K + 1, R, 1]
        return (modes * ways).sum(dim=1)

    def _clip(self, numbers: Tensor) -> Tensor:
        return numbers if self.clip_value is None else numbers.clamp(-self.clip_value, self.clip_value)


class FeedForward(nn.Module):
    """A controller without a memory of its own: linear layers, each followed by ReLU. Its state is an empty tuple."""

    state_names: tuple[str, ...] = ()

    def __init__(self, input_size: int, *, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.output_size = hidden_size
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.Linear(width, hidden_size) for width in widths)
        initialise_(self)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> tuple[()]:
        """Nothing."""
        return ()

    def project(self, inputs: Tensor) -> tuple[Tensor]:
        """The input's part of the first layer, bias included: ``[T, B, hidden_size]``."""
        return (self.layers[0](inputs),)

    def step(self, projected: tuple[Tensor, ...], state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        """The rest of the way: the first layer before its ReLU to the output ``[B, hidden_size]``."""
        hidden = F.relu(projected[0])
        for layer in self.layers[1:]:
            hidden = F.relu(layer(hidden))
        return hidden, state


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor) -> Tensor:
    """Softmax over slots of strength times cosine of key and slot.

    Args:
        memory: ``[B, N, W]``.
        keys: of H heads, ``[B, H, W]``.
        strengths: ``[B, H]``.

    Returns:
        ``[B, H, N]``; equal everywhere for a memory of zeros.
    """
    products = keys @ memory.transpose(1, 2)  # [B, H, N]
    cosines = products / (_norms(keys).unsqueeze(2) * _norms(memory).unsqueeze(1))
    return torch.softmax(strengths.unsqueeze(-1) * cosines, dim=-1)


def _norms(rows: Tensor) -> Tensor:
    return (rows.square().sum(dim=-1) + EPSILON).sqrt()


def usage_after_write(usage: Tensor, write_weights: Tensor) -> Tensor:
    """``[B, N]``, after writing with ``[B, K, N]``: u + (1 - u)(1 - Π(1 - w))."""
    return usage + (1 - usage) * (1 - _product_over_heads(1 - write_weights))


def usage_after_free(usage: Tensor, free_gates: Tensor, read_weights: Tensor) -> Tensor:
    """``[B, N]``, after slots that were read with ``[B, R, N]`` are freed as the gates ``[B, R]`` say."""
    return usage * _product_over_heads(1 - free_gates.unsqueeze(-1) * read_weights)


def _product_over_heads(factors: Tensor) -> Tensor:
    # torch.prod's backward looks for zeros, for which the CPU waits for the GPU.
    return functools.reduce(operator.mul, factors.unbind(1))


def allocation_weights(usage: Tensor) -> Tensor:
    """Where there is room: ``[B, N]``, the least used slot first, the lowest among equals.

    With u' = ε + (1 - ε) u and slots φ_1, φ_2, … by rising u': a[φ_j] = (1 - u'[φ_j]) Π_{i<j} u'[φ_i].
    """
    rising, order = (EPSILON + (1 - EPSILON) * usage).sort(dim=-1, stable=True)
    # The product by logarithms (u' is positive): the backward of cumprod looks for zeros, as torch.prod's does.
    logarithms = rising.log()
    product_before = (logarithms.cumsum(dim=-1) - logarithms).exp()
    return torch.zeros_like(usage).scatter(-1, order, (1 - rising) * product_before)


def write(memory: Tensor, write_weights: Tensor, erase_vectors: Tensor, write_vectors: Tensor) -> Tensor:
    """M ∘ Π(1 - w eᵀ) + Σ w vᵀ: ``[B, N, W]``, with weights ``[B, K, N]`` and vectors ``[B, K, W]``."""
    kept = _product_over_heads(1 - write_weights.unsqueeze(-1) * erase_vectors.unsqueeze(-2))
    return memory * kept + write_weights.transpose(1, 2) @ write_vectors


def next_link(link: Tensor, precedence: Tensor, write_weights: Tensor) -> Tensor:
    """L_ij ← (1 - w_i - w_j) L_ij + w_i p_j, the diagonal 0: ``[B, K, N, N]``; p and w ``[B, K, N]``."""
    w_i, w_j = write_weights.unsqueeze(-1), write_weights.unsqueeze(-2)
    link = (1 - w_i - w_j) * link + w_i * precedence.unsqueeze(-2)
    diagonal = torch.eye(link.shape[-1], dtype=torch.bool, device=link.device)
    return link.masked_fill(diagonal, 0)


def next_precedence(precedence: Tensor, write_weights: Tensor) -> Tensor:
    """p ← (1 - Σ_i w_i) p + w, each ``[B, K, N]``."""
    return (1 - write_weights.sum(dim=-1, keepdim=True)) * precedence + write_weights
