"""One step of a core or of a whole agent as a graph that runs without this package: ``torch.export`` and ONNX.

What leaves is one time step in float32 for batches of any size. Rows have no T axis, and the memory is a dict of named
leaves, which whoever runs the step carries on::

    step = AgentStep(agent)
    state = step.initial_state(batch_size)
    out = step(observation, last_action, last_reward, reset, state)    # {"logits": ..., "value": ..., "state": {...}}

    torch.export.save(torch_program(step), "agent.pt2")                # called as the step is
    onnx_program(step).save("agent.onnx")                              # needs onnx and onnxscript

ONNX knows no dicts: there every leaf is an input by its name and an output by its name after ``next_``. Where ``reset``
is set the graph itself selects the initial state, so the first state may be any numbers of the right shape.
"""

from __future__ import annotations

import copy
import re
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rmc_agents.agent import Agent
from rmc_agents.core import Core, State
from rmc_agents.rmc import RelationalMemory
from rmc_agents.tree import leaves, map_tree

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

EXAMPLE_BATCH, EXAMPLE_ROWS = 2, 3
LARGEST_AXIS = 2**20

Module = TypeVar("Module", bound=nn.Module)

TRACED = ("attention", "input_gate", "forget_gate", "output_gate", "reset_gate")
"""Of :class:`rmc_agents.trace.Trace`, what a step can return besides its output and its state."""

NamedState = dict[str, Tensor]
"""The leaves ``[B, ...]`` of a memory by their names, in the order of its tree."""


class Step(nn.Module):
    """One time step of something with a memory core. Subclasses write ``forward`` and ``example``.

    Attributes:
        core: the memory.
        input_names: the arguments of ``forward`` but for the state, which is the last.
        output_names: what ``forward`` returns besides ``"state"``.
        leaf_names: the state's, from the core's ``state_names`` with only letters, digits and underscores.

    Raises:
        ValueError: two of all these names are the same.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core
        count = len(leaves(core.initial_state(1)))
        named = core.state_names if len(core.state_names) == count else [f"state {index}" for index in range(count)]
        self.leaf_names = tuple(re.sub(r"\W+", "_", name.replace("'", "")) for name in named)
        names = [*self.input_names, *self.leaf_names, *self.output_names, *self.next_names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"core: state_names {list(core.state_names)} given, but {twice} would name two things")

    @property
    def next_names(self) -> tuple[str, ...]:
        """What ONNX calls the leaves of the state after the step."""
        return tuple(f"next_{name}" for name in self.leaf_names)

    def initial_state(self, batch_size: int) -> NamedState:
        """The memory at the start of an episode."""
        return self._named(self.core.initial_state(batch_size))

    def example(self) -> tuple[Tensor, ...]:
        """Arguments of ``forward`` but for the state."""
        raise NotImplementedError

    def free_axes(self) -> tuple[Any, ...]:
        """For each argument of ``forward`` the axes that may be of any length, as ``torch.export`` takes them."""
        batch = {0: torch.export.Dim("batch", min=1, max=LARGEST_AXIS)}
        return (*[batch] * len(self.input_names), dict.fromkeys(self.leaf_names, batch))

    def _named(self, state: State) -> NamedState:
        return dict(zip(self.leaf_names, leaves(state), strict=True))

    def _tree(self, state: NamedState) -> State:
        parts = iter([state[name] for name in self.leaf_names])
        return map_tree(lambda _: next(parts), self.core.initial_state(1))


class CoreStep(Step):
    """One time step of a core.

    Args:
        core: what is exported, as it is now; in float32 also where it computes in bfloat16.
    """

    input_names = ("inputs", "reset")
    output_names = ("outputs",)

    def __init__(self, core: Core) -> None:
        super().__init__(bare_copy(core))

    def forward(self, inputs: Tensor, reset: Tensor, state: NamedState) -> dict[str, Any]:
        """Inputs ``[B, I]`` and reset, bool ``[B]``, to outputs ``[B, O]`` and the next state."""
        outputs, after = self.core(inputs[None], self._tree(state), reset[None])
        return {"outputs": outputs[0], "state": self._named(after)}

    def example(self) -> tuple[Tensor, ...]:
        """Zeros."""
        like = next(self.core.parameters())
        rows = [EXAMPLE_ROWS] * (self.core.input_rank - 3)
        inputs = torch.zeros(EXAMPLE_BATCH, *rows, self.core.input_size, device=like.device, dtype=like.dtype)
        return inputs, torch.zeros(EXAMPLE_BATCH, dtype=torch.bool, device=like.device)

    def free_axes(self) -> tuple[Any, ...]:
        """Where inputs are ``[B, n, I]``, the number of rows is free too."""
        inputs, *others = super().free_axes()
        rows = {1: torch.export.Dim("rows", min=1, max=LARGEST_AXIS)} if self.core.input_rank == 4 else {}
        return (inputs | rows, *others)


class AgentStep(Step):
    """One time step of an agent.

    Args:
        agent: what is exported, as it is now; in float32 also where it computes in bfloat16.
        observation_dtype: type of the observations; unsigned bytes are scaled to [0, 1] inside.
        trace: also return what the core's :meth:`rmc_agents.core.Core.trace` records of the step, of `TRACED` what this
            core has: ``attention`` ``[B, blocks, heads, rows, rows + inputs]``, and gates ``[B, rows, 1]``, or a value
            for each element.
    """

    input_names = ("observation", "last_action", "last_reward", "reset")

    def __init__(self, agent: Agent, observation_dtype: torch.dtype = torch.uint8, *, trace: bool = False) -> None:
        observation = agent.observation
        if isinstance(observation, dict | tuple):
            raise ValueError("agent: its observation has several parts, a single one needed")
        agent = bare_copy(agent)
        self.output_names = (agent.actions.parameters_name, "value", *(traced_names(agent.core) if trace else ()))
        super().__init__(agent.core)
        self.agent = agent
        self.trace = trace
        self.observation_dtype = observation_dtype
        self.observation_shape = observation.shape

    def forward(
        self, observation: Tensor, last_action: Tensor, last_reward: Tensor, reset: Tensor, state: NamedState
    ) -> dict[str, Any]:
        """A row of B environments, each argument as one row of :meth:`rmc_agents.agent.Agent.forward`.

        Returns the policy's numbers ``[B, P]`` (``logits`` of discrete actions), the value ``[B]``, what was traced,
        and the next state.
        """
        row = (observation[None], last_action[None], last_reward[None], reset[None])
        if self.trace:
            output, trace = self.agent.trace(*row, self._tree(state))
            traced = {name: getattr(trace, name)[0] for name in TRACED if name in self.output_names}
            after = map_tree(lambda leaf: leaf[0], trace.memory_after)
        else:
            output, after = self.agent(*row, self._tree(state))
            traced = {}
        numbers = {self.output_names[0]: output.policy[0], "value": output.value[0]}
        return numbers | traced | {"state": self._named(after)}  # in the order of ONNX's outputs

    def example(self) -> tuple[Tensor, ...]:
        """Zeros."""
        like, actions = next(self.agent.parameters()), self.agent.actions
        return (
            torch.zeros(EXAMPLE_BATCH, *self.observation_shape, dtype=self.observation_dtype, device=like.device),
            torch.zeros(EXAMPLE_BATCH, *actions.shape, dtype=actions.dtype, device=like.device),
            torch.zeros(EXAMPLE_BATCH, dtype=torch.float32, device=like.device),
            torch.zeros(EXAMPLE_BATCH, dtype=torch.bool, device=like.device),
        )


def torch_program(step: Step) -> ExportedProgram:
    """A step through ``torch.export``, for batches of any size; ``program.module()`` is called as the step is.

    Raises:
        ValueError: ``torch.export`` cannot follow what the step does.
    """
    try:
        with torch.no_grad():
            arguments = (*step.example(), step.initial_state(EXAMPLE_BATCH))
            program = torch.export.export(step, arguments, dynamic_shapes=step.free_axes())
    except Exception as error:  # it executes the step's own code, and has many ways to say no
        raise ValueError(f"step: torch.export cannot follow {type(step.core).__name__}: {_in_a_line(error)}") from error
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)  # where the code lies on this machine is nobody's business
    return program


def onnx_program(step: Step) -> ONNXProgram:
    """A step as ONNX, for batches of any size, with the step's names.

    Raises:
        ValueError: ``torch.export`` cannot follow what the step does, or ONNX has no such operation.
        ImportError: onnx or onnxscript is missing.
    """
    import torch.onnx

    program = torch_program(step)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the inside of the converter
            program = program.run_decompositions({torch.ops.aten.sort.stable: _stable_sort})
            converted = torch.onnx.export(
                program,
                input_names=[*step.input_names, *step.leaf_names],
                output_names=[*step.output_names, *step.next_names],
                dynamic_shapes=step.free_axes(),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"step: ONNX cannot hold {type(step.core).__name__}: {_in_a_line(error)}") from error
    assert converted is not None
    for node in converted.model.graph.all_nodes():
        node.metadata_props.clear()  # the same for the traces that the converter added
    return converted


def _stable_sort(
    numbers: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """What the converter does not know, in terms of what it knows: ONNX's TopK has the lower index first of equals."""
    return torch.ops.aten.topk.default(numbers, numbers.shape[dim], dim, descending, True)


def traced_names(core: Core) -> tuple[str, ...]:
    """Of `TRACED` what this core has, seen from one step."""
    like = next(core.parameters())
    inputs = torch.zeros(1, 1, core.input_size, device=like.device, dtype=like.dtype)
    trace = core.trace(inputs, core.initial_state(1), torch.ones(1, 1, dtype=torch.bool, device=like.device))
    return tuple(name for name in TRACED if getattr(trace, name) is not None)


def bare_copy(module: Module) -> Module:
    """A copy that only computes: without gradients, and without autocast, whose mixture of types ONNX does not have."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for part in module.modules():
        if isinstance(part, RelationalMemory):
            part.matmul_dtype = "float32"
    return module


def _in_a_line(error: Exception) -> str:
    """What went wrong, of a message of several pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
