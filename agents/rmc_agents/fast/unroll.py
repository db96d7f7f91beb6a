"""A whole unroll of the Relational Memory Core as one differentiable operation, for float32 on the CPU.

Autograd over a loop of T steps makes hundreds of small operations and T small products for every weight's gradient.
Here each step is a few matrix products with one compiled kernel between two of them (:mod:`rmc_agents.fast.kernels`),
backward alike, and a weight's gradient is one product over many time steps.

What does not depend on the memory (the input rows, their queries, keys and values in the first block, their part of the
gates) is computed before the loop, where autograd differentiates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rmc_agents.fast import has_kernels, kernels_torch
from rmc_agents.fast.products import linear, multiplier, weight_gradient
from rmc_agents.fast.recorded import Pass, Record, Recording, Recordings, cuda_graph
from rmc_agents.rmc import padded_identity

if TYPE_CHECKING:
    from rmc_agents.rmc import RelationalMemory

Kind = TypeVar("Kind")

ROWS_PER_WEIGHT_PRODUCT = 1024
"""Gradients of so many rows, or a little more, are gathered for one product with the weights' inputs."""


class BlockParameters(NamedTuple):
    """One block of attention; names as in :class:`rmc_agents.rmc.AttentionBlock`."""

    qkv_weight: Tensor
    qkv_bias: Tensor
    qkv_norm_weight: Tensor
    qkv_norm_bias: Tensor
    attention_norm_weight: Tensor
    attention_norm_bias: Tensor
    mlp_norm_weight: Tensor
    mlp_norm_bias: Tensor


@dataclass(frozen=True)
class Sizes:
    """Everything about the core that is no tensor."""

    num_blocks: int
    mlp_layers: int
    gated: bool
    num_heads: int
    key_size: int
    scale: float
    dtype: torch.dtype
    """of the matrix products"""


@dataclass(frozen=True)
class Parameters:
    """The parameters that the loop over time needs."""

    blocks: list[BlockParameters]
    mlp: list[tuple[Tensor, Tensor]]
    """Weight and bias of each layer."""
    gate: tuple[Tensor, Tensor] | None
    """Weight and bias of the memory's part of the gates."""

    def rounded(self, dtype: torch.dtype) -> Parameters:
        """With the weights and biases of the large products in ``dtype``; the gates and norms stay as they are."""
        if dtype == torch.float32:
            return self
        blocks = [
            block._replace(qkv_weight=block.qkv_weight.to(dtype), qkv_bias=block.qkv_bias.to(dtype))
            for block in self.blocks
        ]
        return Parameters(blocks, [(weight.to(dtype), bias.to(dtype)) for weight, bias in self.mlp], self.gate)

    def flat(self) -> list[Tensor]:
        """All tensors in a row, in the order of :meth:`join`."""
        layers = [tensor for layer in self.mlp for tensor in layer]
        return [tensor for block in self.blocks for tensor in block] + layers + list(self.gate or ())

    @staticmethod
    def join(tensors: list[Tensor], sizes: Sizes) -> Parameters:
        """The inverse of :meth:`flat`."""
        rest = iter(tensors)
        width = len(BlockParameters._fields)
        blocks = [BlockParameters(*(next(rest) for _ in range(width))) for _ in range(sizes.num_blocks)]
        mlp = [(next(rest), next(rest)) for _ in range(sizes.mlp_layers)]
        return Parameters(blocks, mlp, (next(rest), next(rest)) if sizes.gated else None)


class BlockTape(NamedTuple, Generic[Kind]):
    """What the backward pass needs of one block; T is 1 where nothing is kept.

    As tensors, or as the arrays that the kernels see.
    """

    rows: Kind
    """[T, B, S, F]: what came in; S = N in the first block, whose input rows are kept once for all, R in the others."""
    product_rows: Kind
    """The same in the type of the products; in float32 the very same."""
    statistics: Kind
    """[T, B, R, 2]: mean and inverse deviation in that LayerNorm."""
    probabilities: Kind
    """[T, B, H, kept, R]: attention weights."""
    attention_normal: Kind
    """[T, B, kept, F]: normalised sums after the attention."""
    attention_inverse: Kind
    """[T, B, kept]: their inverse deviations."""
    mlp_normal: Kind
    """As ``attention_normal``, after the MLP."""
    mlp_inverse: Kind
    layers: Kind
    """[L, T, B, kept, F], in the type of the products: the input of each layer of the MLP."""


class Tape(NamedTuple):
    """What the backward pass needs."""

    blocks: list[BlockTape[Tensor]]
    tanh_memory: Tensor
    """[T, B, N, F], of the memory before each step; without gates empty, as are the next two."""
    tanh_attended: Tensor
    gates: Tensor
    """[T, B, N, 2G]"""
    pre: list[list[Tensor]]
    """For each block and step queries, keys and values before their LayerNorm, [B, S, C]: as the product made them."""

    def flat(self) -> list[Tensor]:
        """All tensors in a row, in the order of :meth:`join`."""
        blocks = [tensor for block in self.blocks for tensor in block]
        return [*blocks, self.tanh_memory, self.tanh_attended, self.gates, *(x for steps in self.pre for x in steps)]

    @staticmethod
    def join(tensors: list[Tensor], sizes: Sizes) -> Tape:
        """The inverse of :meth:`flat`."""
        rest = iter(tensors)
        width = len(BlockTape._fields)
        blocks = [BlockTape[Tensor](*(next(rest) for _ in range(width))) for _ in range(sizes.num_blocks)]
        tanh_memory, tanh_attended, gates = next(rest), next(rest), next(rest)
        pre = [[next(rest) for _ in range(len(blocks[0].rows))] for _ in range(sizes.num_blocks)]
        return Tape(blocks, tanh_memory, tanh_attended, gates, pre)


def unroll(core: RelationalMemory, inputs: Tensor, memory: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
    """T steps of ``core``, as :meth:`rmc_agents.core.Core.unroll` does them; differentiable once."""
    blocks: list[Any] = list(core.blocks)
    layers: list[Any] = [layer for layer in core.mlp if isinstance(layer, nn.Linear)]
    sizes = Sizes(
        num_blocks=len(blocks),
        mlp_layers=len(layers),
        gated=core.gate_style is not None,
        num_heads=core.num_heads,
        key_size=core.key_size,
        scale=core.scale,
        dtype=getattr(torch, core.matmul_dtype),
    )
    parameters = Parameters(
        blocks=[
            BlockParameters(
                block.qkv.weight,
                block.qkv.bias,
                block.qkv_norm.weight,
                block.qkv_norm.bias,
                block.attention_norm.weight,
                block.attention_norm.bias,
                block.mlp_norm.weight,
                block.mlp_norm.bias,
            )
            for block in blocks
        ],
        mlp=[(layer.weight, layer.bias) for layer in layers],
        gate=(core.gate_memory.weight, core.gate_memory.bias) if sizes.gated else None,
    )
    rows = inputs if core.treat_input_as_matrix else inputs.unsqueeze(-2)  # [T, B, n, D]
    e = linear(rows, core.input_projection.weight, core.input_projection.bias, sizes.dtype)  # [T, B, n, F]
    e_qkv = linear(e, parameters.blocks[0].qkv_weight, parameters.blocks[0].qkv_bias, sizes.dtype)  # [T, B, n, C]
    if sizes.gated:
        whole = e if e.shape[2] == 1 else e.mean(dim=2, keepdim=True)
        gate_inputs = core.gate_input(whole) + core.gate_bias  # [T, B, 1, 2G]
    else:
        gate_inputs = e.new_empty(*e.shape[:2], 1, 0)
    initial = padded_identity(core.mem_slots, core.mem_size, memory.device, memory.dtype)
    reset = reset.contiguous()
    tensors = (e, e_qkv, gate_inputs, memory, *parameters.flat())
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Unroll.apply(sizes, initial, reset, *tensors)
    given = [initial, reset, e, e_qkv, gate_inputs, memory]
    recording = _recording(sizes, given, parameters, keep=False)
    if recording is not None:
        outputs = recording.forward(Pass(), given)
    else:
        outputs, _ = _forward(
            _operations(memory), sizes, initial, reset, e, e_qkv, gate_inputs, memory, parameters, keep=False
        )
    return outputs, outputs[-1].view_as(memory).clone()


def _operations(tensor: Tensor) -> Any:
    """What lies between the products, for the device of ``tensor``."""
    if tensor.device.type == "cpu" and has_kernels():
        from rmc_agents.fast import kernels

        return kernels
    return kernels_torch


_recordings = Recordings()


def _recording(sizes: Sizes, given: list[Tensor], parameters: Parameters, *, keep: bool) -> Recording | None:
    """A recording of this unroll on a GPU, forward and, with ``keep``, backward; None where there is none."""
    memory = given[-1]
    if memory.device.type != "cuda" or torch.cuda.is_current_stream_capturing():  # as part of a larger recording
        return None
    tensors = [tensor.detach() for tensor in parameters.flat()]
    key = (sizes, keep, *((t.shape, t.device) for t in given), *((t.data_ptr(), t.shape) for t in tensors))
    return _recordings.take(key, lambda: record(sizes, given, tensors, cuda_graph, keep=keep))


def record(sizes: Sizes, given: list[Tensor], tensors: list[Tensor], how: Record, *, keep: bool) -> Recording:
    """Record the unroll of these arguments (initial, reset, e, its queries, keys and values, gate inputs, memory).

    A graph reads addresses: whatever does not live as long as the parameters must be among the arguments, of which
    the recording has tensors of its own.
    """
    ops, memory = _operations(given[-1]), given[-1]
    parameters = Parameters.join(tensors, sizes)

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        initial, reset, rows, qkv, gates, start = inputs
        outputs, tape = _forward(ops, sizes, initial, reset, rows, qkv, gates, start, parameters, keep=keep)
        return [outputs, *tape.flat()]

    def backward(inputs: list[Tensor], results: list[Tensor], d_results: list[Tensor]) -> list[Tensor]:
        tape = Tape.join(results[1:], sizes)
        _, reset, rows, qkv, _, _ = inputs
        d_outputs, d_last = d_results
        return _backward(ops, sizes, reset, rows, qkv, parameters, tape, d_outputs, d_last)

    batch, slots, width = memory.shape
    d_outputs = memory.new_empty(len(given[1]), batch, slots * width)
    return Recording(given, forward, backward if keep else None, [d_outputs, memory], how)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        sizes: Sizes,
        initial: Tensor,
        reset: Tensor,
        input_rows: Tensor,
        input_qkv: Tensor,
        gate_inputs: Tensor,
        memory: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        parameters = Parameters.join(list(tensors), sizes)
        given = [initial, reset, input_rows, input_qkv, gate_inputs, memory]
        ctx.sizes = sizes
        ctx.recording = _recording(sizes, given, parameters, keep=True)
        if ctx.recording is not None:
            ctx.owner = Pass()
            outputs = ctx.recording.forward(ctx.owner, given)
            ctx.save_for_backward(reset, *tensors)
        else:
            outputs, tape = _forward(
                _operations(memory),
                sizes,
                initial,
                reset,
                input_rows,
                input_qkv,
                gate_inputs,
                memory,
                parameters,
                keep=True,
            )
            ctx.save_for_backward(reset, input_rows, input_qkv, *tensors, *tape.flat())
        return outputs, outputs[-1].view_as(memory).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_memory: Tensor) -> tuple[Tensor | None, ...]:
        reset, *saved = ctx.saved_tensors  # raises where a parameter was changed since
        with torch.autocast(reset.device.type, enabled=False):  # where backward is called is not how forward was
            if ctx.recording is not None:
                gradients = ctx.recording.backward(ctx.owner, [d_outputs, d_memory])
            else:
                input_rows, input_qkv, *rest = saved
                parameters = Parameters.join(rest, ctx.sizes)
                tape = Tape.join(rest[len(parameters.flat()) :], ctx.sizes)
                gradients = _backward(
                    _operations(reset), ctx.sizes, reset, input_rows, input_qkv, parameters, tape, d_outputs, d_memory
                )
        return (None, None, None, *gradients)


def _new_tape(sizes: Sizes, steps: int, input_qkv: Tensor, memory: Tensor, gate_size: int) -> Tape:
    batch, slots, width = memory.shape
    rows = slots + input_qkv.shape[2]
    blocks = []
    for number in range(sizes.num_blocks):
        come = slots if number == 0 else rows
        kept = slots if number == sizes.num_blocks - 1 else rows
        came = memory.new_empty(steps, batch, come, width)
        blocks.append(
            BlockTape(
                rows=came,
                product_rows=came if sizes.dtype == came.dtype else torch.empty_like(came, dtype=sizes.dtype),
                statistics=memory.new_empty(steps, batch, rows, 2),
                probabilities=memory.new_empty(steps, batch, sizes.num_heads, kept, rows),
                attention_normal=memory.new_empty(steps, batch, kept, width),
                attention_inverse=memory.new_empty(steps, batch, kept),
                mlp_normal=memory.new_empty(steps, batch, kept, width),
                mlp_inverse=memory.new_empty(steps, batch, kept),
                layers=memory.new_empty(sizes.mlp_layers, steps, batch, kept, width, dtype=sizes.dtype),
            )
        )
    full = (steps, batch, slots, width) if sizes.gated else (steps, 0, 0, 0)
    gates = (steps, batch, slots, gate_size) if sizes.gated else (steps, 0, 0, 0)
    pre: list[list[Tensor]] = [[] for _ in blocks]
    return Tape(blocks, memory.new_empty(full), memory.new_empty(full), memory.new_empty(gates), pre)


def _forward(
    ops: Any,
    sizes: Sizes,
    initial: Tensor,
    reset: Tensor,
    input_rows: Tensor,
    input_qkv: Tensor,
    gate_inputs: Tensor,
    memory: Tensor,
    parameters: Parameters,
    *,
    keep: bool,
) -> tuple[Tensor, Tape]:
    steps = len(input_rows)
    batch, slots, width = memory.shape
    parameters = parameters.rounded(sizes.dtype)
    tape = _new_tape(sizes, steps if keep else 1, input_qkv, memory, gate_inputs.shape[-1])
    outputs = memory.new_empty(steps, batch, slots * width)
    no_rows, no_qkv = (ops.view(memory.new_empty(batch, 0, size)) for size in (width, input_qkv.shape[-1]))
    nothing = ops.view(memory.new_empty(0, 0, 0))
    # The kernels write float32; where products take another type, that too.
    rounds = sizes.dtype != memory.dtype
    sums = [ops.view(torch.empty_like(block.attention_normal[0])) if rounds else nothing for block in tape.blocks]
    scale = ops.number(sizes.scale)
    norms = [[ops.view(tensor) for tensor in block[2:]] for block in parameters.blocks]
    saved = [BlockTape[Any](*(ops.view(tensor) for tensor in block)) for block in tape.blocks]
    new_memories = ops.view(outputs).reshape(steps, batch, slots, width)
    tanh_memories, tanh_attended, gates = ops.view(tape.tanh_memory), ops.view(tape.tanh_attended), ops.view(tape.gates)
    inputs, inputs_qkv, inputs_gates = ops.view(input_rows), ops.view(input_qkv), ops.view(gate_inputs)
    first, resets, before = ops.view(initial), ops.view(reset), ops.view(memory)
    # Found once, not at every step: the tensors that are multiplied, and how.
    rows = [block.product_rows.unbind(0) for block in tape.blocks]
    layers = [[layer.unbind(0) for layer in block.layers.unbind(0)] for block in tape.blocks]
    tanh_rows = tape.tanh_memory.unbind(0)
    to_qkv, to_layers = [], []
    for block, own in zip(parameters.blocks, tape.blocks, strict=True):
        come, kept = own.rows.shape[1:3].numel(), own.mlp_inverse[0].numel()
        to_qkv.append(multiplier(block.qkv_weight, block.qkv_bias, come))
        to_layers.append([multiplier(weight, bias, kept) for weight, bias in parameters.mlp])
    to_gates = None if parameters.gate is None else multiplier(*parameters.gate, batch * slots)
    attended = ops.view(memory.new_empty(batch, slots, width)) if sizes.gated else nothing
    for t in range(steps):
        k = t if keep else 0
        rounded = saved[0].product_rows[k] if rounds else nothing
        ops.begin_step(resets[t], first, before, saved[0].rows[k], tanh_memories[k], rounded)
        for number, own in enumerate(saved):
            pre = to_qkv[number](rows[number][k])
            if keep:
                tape.pre[number].append(pre)
            total, rounded = (sums[number], own.layers[0, k]) if rounds else (own.layers[0, k], nothing)
            qkv_w, qkv_b, attention_w, attention_b, mlp_w, mlp_b = norms[number]
            ops.attention_forward(
                ops.view(pre),
                inputs_qkv[t] if number == 0 else no_qkv,
                own.rows[k],
                inputs[t] if number == 0 else no_rows,
                scale,
                qkv_w,
                qkv_b,
                attention_w,
                attention_b,
                sizes.key_size,
                own.statistics[k],
                own.probabilities[k],
                own.attention_normal[k],
                own.attention_inverse[k],
                total,
                rounded,
            )
            for index, to_layer in enumerate(to_layers[number][:-1]):
                torch.clamp_min(to_layer(layers[number][index][k]), 0.0, out=layers[number][index + 1][k])
            added = ops.view(to_layers[number][-1](layers[number][-1][k]))
            rounded = nothing
            if number < sizes.num_blocks - 1:
                result = saved[number + 1].rows[k]
                if rounds:
                    rounded = saved[number + 1].product_rows[k]
            else:
                result = attended if sizes.gated else new_memories[t]
            ops.norm_forward(total, added, mlp_w, mlp_b, own.mlp_normal[k], own.mlp_inverse[k], result, rounded)
        if to_gates is not None:
            ops.gate_forward(
                attended,
                ops.view(to_gates(tanh_rows[k])),
                inputs_gates[t],
                saved[0].rows[k],
                tanh_attended[k],
                gates[k],
                new_memories[t],
            )
        before = new_memories[t]
    return outputs, tape


def _backward(
    ops: Any,
    sizes: Sizes,
    reset: Tensor,
    input_rows: Tensor,
    input_qkv: Tensor,
    parameters: Parameters,
    tape: Tape,
    d_outputs: Tensor,
    d_last: Tensor,
) -> list[Tensor]:
    steps, batch, _, width = input_rows.shape
    slots = d_last.shape[1]
    gradients = Parameters.join([torch.zeros_like(tensor) for tensor in parameters.flat()], sizes)
    parameters = parameters.rounded(sizes.dtype)
    norm_gradients = [[ops.view(tensor) for tensor in block[1:]] for block in gradients.blocks]
    norms = [[ops.view(tensor) for tensor in block[2:]] for block in parameters.blocks]
    saved = [BlockTape[Any](*(ops.view(tensor) for tensor in block)) for block in tape.blocks]
    tanh_memories, tanh_attended, gates = ops.view(tape.tanh_memory), ops.view(tape.tanh_attended), ops.view(tape.gates)
    # Gradients of a few steps, gathered until they are worth one product with the inputs of the weights.
    gathered = min(steps, -(-ROWS_PER_WEIGHT_PRODUCT // (batch * slots)))
    d_pre = [steps_of[0].new_empty(gathered, *steps_of[0].shape) for steps_of in tape.pre]
    d_layers = [block.layers.new_empty(sizes.mlp_layers, gathered, *block.layers.shape[2:]) for block in tape.blocks]
    rounds = sizes.dtype != d_last.dtype
    d_input_rows, d_input_qkv = torch.zeros_like(input_rows), torch.zeros_like(input_qkv)
    d_gates = torch.empty_like(tape.gates)
    nothing = ops.view(d_last.new_empty(0, 0, 0))
    no_qkv = ops.view(input_qkv.new_empty(batch, 0, input_qkv.shape[-1]))
    d_attended = ops.view(d_last.new_empty(batch, slots, width)) if sizes.gated else nothing
    d_kept = ops.view(d_last.new_empty(batch, slots, width)) if sizes.gated else nothing
    d_rows = [torch.empty_like(block.attention_normal[0]) for block in tape.blocks]
    d_sums = [ops.view(torch.empty_like(block.attention_normal[0])) if rounds else nothing for block in tape.blocks]
    scale, resets = ops.number(sizes.scale), ops.view(reset)
    pre_rows = [rows.unbind(0) for rows in d_pre]
    layer_rows = [[layer.unbind(0) for layer in layers.unbind(0)] for layers in d_layers]
    from_qkv, from_layers = [], []
    for block, own in zip(parameters.blocks, tape.blocks, strict=True):
        come, kept = own.rows.shape[1:3].numel(), own.mlp_inverse[0].numel()
        from_qkv.append(multiplier(block.qkv_weight.T, None, come))
        from_layers.append([multiplier(weight.T, None, kept) for weight, _ in parameters.mlp])
    from_gates = None if parameters.gate is None else multiplier(parameters.gate[0].T, None, batch * slots)
    inputs_qkv, d_inputs_qkv, d_all_gates = ops.view(input_qkv), ops.view(d_input_qkv), ops.view(d_gates)

    def weight_gradients(start: int, stop: int) -> None:
        """Add the gradients of all weights from the gathered rows, which are those of steps start to stop - 1."""
        count = stop - start
        for number, block in enumerate(tape.blocks):
            gradients.blocks[number].qkv_weight.add_(
                weight_gradient(block.product_rows[start:stop], d_pre[number][:count])
            )
            for index, (d_weight, d_bias) in enumerate(gradients.mlp):
                d_layer = d_layers[number][index, :count]
                d_weight.add_(weight_gradient(block.layers[index, start:stop], d_layer))
                d_bias.add_(d_layer.flatten(0, -2).sum(0, dtype=d_bias.dtype))

    d_outputs = d_outputs.view(steps, batch, slots, width)
    d_memory = d_outputs[-1] + d_last
    stop = steps
    for t in reversed(range(steps)):
        if stop - t > gathered:
            weight_gradients(t + 1, stop)
            stop = t + 1
        place = t - max(0, stop - gathered)  # among the gathered rows, which are those of steps up to stop - 1
        d_new, d_tanh = ops.view(d_memory), nothing
        if from_gates is not None:
            ops.gate_backward(d_new, saved[0].rows[t], tanh_attended[t], gates[t], d_attended, d_all_gates[t], d_kept)
            d_tanh = ops.view(from_gates(d_gates[t]))
            d_new = d_attended
        for number in reversed(range(sizes.num_blocks)):
            own, d_own, first = saved[number], d_rows[number], number == 0
            d_qkv_b, d_norm_qkv_w, d_norm_qkv_b, d_attention_w, d_attention_b, d_mlp_w, d_mlp_b = norm_gradients[number]
            qkv_w, qkv_b, attention_w, _, mlp_w, _ = norms[number]
            d_added = layer_rows[number][-1][place]
            d_sum, rounded = (d_sums[number], ops.view(d_added)) if rounds else (ops.view(d_added), nothing)
            ops.norm_backward(d_new, own.mlp_normal[t], own.mlp_inverse[t], mlp_w, d_mlp_w, d_mlp_b, d_sum, rounded)
            d_through = from_layers[number][-1](d_added)
            for index in reversed(range(sizes.mlp_layers - 1)):
                d_layer = layer_rows[number][index][place]
                ops.relu_backward(ops.view(d_through), own.layers[index + 1, t], ops.view(d_layer))
                d_through = from_layers[number][index](d_layer)
            ops.attention_backward(
                d_sum,
                ops.view(d_through),
                ops.view(tape.pre[number][t]),
                inputs_qkv[t] if first else no_qkv,
                scale,
                qkv_w,
                qkv_b,
                attention_w,
                sizes.key_size,
                own.statistics[t],
                own.probabilities[t],
                own.attention_normal[t],
                own.attention_inverse[t],
                d_norm_qkv_w,
                d_norm_qkv_b,
                d_attention_w,
                d_attention_b,
                d_qkv_b,
                ops.view(d_own),
                ops.view(pre_rows[number][place]),
                d_inputs_qkv[t] if first else no_qkv,
            )
            d_projected = from_qkv[number](pre_rows[number][place])
            if not first:
                d_projected = d_projected.to(d_own.dtype)
                d_projected[:, : d_own.shape[1]] += d_own
                d_new = ops.view(d_projected)
            elif d_own.shape[1] > slots:
                d_input_rows[t] = d_own[:, slots:]
        d_memory = torch.zeros_like(d_last) if t == 0 else d_outputs[t - 1].clone()
        ops.end_step_backward(
            resets[t], d_kept, ops.view(d_rows[0]), ops.view(d_projected), d_tanh, tanh_memories[t], ops.view(d_memory)
        )
    weight_gradients(0, stop)
    d_gate_inputs = d_gates.sum(2, keepdim=True) if sizes.gated else d_gates.new_zeros(steps, batch, 1, 0)
    if gradients.gate is not None:
        gradients.gate[0].add_(weight_gradient(tape.tanh_memory, d_gates))
        gradients.gate[1].add_(d_gate_inputs.sum((0, 1, 2)))
    return [d_input_rows, d_input_qkv, d_gate_inputs, d_memory, *gradients.flat()]
