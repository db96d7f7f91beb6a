"""The contract of every memory core, and the one loop over time that all of them share.

A core reads a sequence, time-major, and carries a memory from row to row::

    state = core.initial_state(batch_size)                     # a tree of [B, ...] tensors
    outputs, state = core(inputs, state, reset)                # [T, B, I], reset [T, B] -> [T, B, O]

Acting is the same call with T = 1, so a rollout made step by step and the learner's whole unroll give the same numbers.
Where ``reset[t, b]`` is set, row t of item b is the first of a new episode: its memory is replaced by the initial state
before the row is processed. It is *selected*, never multiplied by zero, because an initial state need not be zero (the
relational memory's is an identity matrix).

A new core subclasses :class:`Core` and writes ``initial_state`` and ``step``; ``project`` may be overridden to do, for
all rows at once, what does not depend on the memory.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents.trace import Trace
from rmc_agents.tree import Tree, leaves, map_tree, select

State = Any
"""The memory of a core: a tree (:mod:`rmc_agents.tree`) of ``[B, ...]`` tensors."""


class Core(nn.Module):
    """A recurrent memory. Subclasses set the attributes in their constructor.

    Attributes:
        input_size: I, width of one input row.
        output_size: O, width of one output row.
        input_rank: number of axes of ``inputs``: 3 for ``[T, B, I]``.
        state_names: for people, what each leaf of the state is called, in the order of the tree.
    """

    input_size: int
    output_size: int
    input_rank: int = 3
    state_names: tuple[str, ...] = ()

    @abstractmethod
    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The memory at the start of an episode, for each of ``batch_size`` items.

        ``device`` and ``dtype`` default to those of the core's parameters.
        """
        raise NotImplementedError

    @abstractmethod
    def step(self, projected: Tree, state: State) -> tuple[Tensor, State]:
        """Process one time step.

        Args:
            projected: one row of what :meth:`project` returned: its leaves without their T axis.
            state: the memory before this step.

        Returns:
            The output ``[B, O]`` and the memory after this step.
        """
        raise NotImplementedError

    def project(self, inputs: Tensor) -> Tree:
        """Whatever can be computed from the inputs ``[T, B, I]`` alone: a tree of ``[T, B, ...]`` tensors.

        Called once before the loop: one large matrix product is much faster than T small ones.
        """
        return inputs

    def forward(self, inputs: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        """Process T time steps.

        Args:
            inputs: ``[T, B, I]``, T >= 1.
            state: the memory before row 0.
            reset: bool ``[T, B]``: the memory is set to its initial state before row t is processed.

        Returns:
            The outputs ``[T, B, O]`` and the memory after row T - 1.

        Raises:
            ValueError: a shape or type does not fit; the message names the argument, what was given and what is needed.
        """
        self._check_inputs(inputs, reset)
        check_state(state, self.initial_state(1), inputs.shape[1])
        return self.unroll(inputs, state, reset)

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: State, reset: Tensor) -> Trace:
        """What :meth:`forward` does with the same arguments, recorded step by step, without gradients.

        Raises:
            ValueError: as :meth:`forward`.
        """
        self._check_inputs(inputs, reset)
        check_state(state, self.initial_state(1), inputs.shape[1])
        initial_state = self.initial_state(inputs.shape[1])
        outputs, before, after = [], [], []
        for t in range(len(inputs)):
            before.append(select(reset[t], initial_state, state))
            output, state = self(inputs[t : t + 1], state, reset[t : t + 1])
            outputs.append(output[0])
            after.append(state)

        def stack(*steps: Tensor) -> Tensor:
            return torch.stack(steps)

        return Trace(torch.stack(outputs), map_tree(stack, *before), map_tree(stack, *after))

    def unroll(self, inputs: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        """The loop over time, of arguments already checked; a core that has a faster way overrides it."""
        initial_state = self.initial_state(inputs.shape[1])
        # unbind, not indexing: the backward of T times x[t] would fill T tensors as large as x.
        rows = map_tree(lambda leaf: iter(leaf.unbind(0)), self.project(inputs))
        outputs = []
        for reset_row in reset.unbind(0):
            # Always selected: to skip it when no item resets would have the CPU wait for the GPU at every step.
            state = select(reset_row, initial_state, state)
            output, state = self.step(map_tree(next, rows), state)
            outputs.append(output)
        return torch.stack(outputs), state

    def _place_and_type(
        self, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> tuple[torch.device | str, torch.dtype]:
        """``device`` and ``dtype`` of a new state, those of the parameters where ``None``."""
        parameter = first_parameter(self)
        assert parameter is not None
        return device or parameter.device, dtype or parameter.dtype

    def _check_inputs(self, inputs: Tensor, reset: Tensor) -> None:
        axes = "[T, B, I]" if self.input_rank == 3 else "[T, B, n, I]"
        given = list(inputs.shape)
        if inputs.dim() != self.input_rank or 0 in given or given[-1] != self.input_size:
            raise ValueError(f"inputs: shape {given} given, {axes} with I = {self.input_size} and T, B >= 1 needed")
        parameter = first_parameter(self)
        if parameter is not None:
            _check_place("inputs", inputs, parameter)
        if reset.dtype != torch.bool or list(reset.shape) != given[:2]:
            raise ValueError(
                f"reset: {reset.dtype} {list(reset.shape)} given, torch.bool [T, B] = {given[:2]} as in inputs needed"
            )
        if reset.device != inputs.device:
            raise ValueError(f"reset: on {reset.device} given, on {inputs.device} as inputs needed")


def first_parameter(module: nn.Module) -> Tensor | None:
    """Some parameter of the module or of its parts; ``next(module.parameters())`` takes five times as long."""
    modules = [module]
    for each in modules:
        for parameter in each._parameters.values():
            if parameter is not None:
                return parameter
        modules += [part for part in each._modules.values() if part is not None]
    return None


def check_state(state: State, like: State, batch_size: int) -> None:
    """Raise ``ValueError`` unless ``state`` has the structure of ``like``, and its shapes but for the batch's size."""
    try:
        aligned = map_tree(lambda _, leaf: leaf, like, state)  # a dict's entries in the order of like's
    except ValueError as error:
        raise ValueError(f"state: {error}; the structure of initial_state() needed") from None
    given, needed = leaves(aligned), leaves(like)
    for index, (leaf, model) in enumerate(zip(given, needed, strict=True)):
        shape = [batch_size, *model.shape[1:]]
        if not isinstance(leaf, Tensor) or list(leaf.shape) != shape:
            found = list(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ValueError(f"state: leaf {index} of {len(needed)}: {found} given, a tensor of shape {shape} needed")
        _check_place(f"state: leaf {index} of {len(needed)}", leaf, model)


def _check_place(name: str, given: Tensor, like: Tensor) -> None:
    """Raise ``ValueError`` unless ``given`` is of the type and on the device of ``like``; autocast sees to types."""
    types_fit = given.dtype == like.dtype or torch.is_autocast_enabled(like.device.type)
    if not types_fit or given.device != like.device:
        raise ValueError(f"{name}: {given.dtype} on {given.device} given, {like.dtype} on {like.device} needed")
