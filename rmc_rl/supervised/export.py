"""One step of a trained model as a graph, for the page of Nth Farthest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rmc_agents.export import NamedState, Step, bare_copy, onnx_program, traced_names
from rmc_agents.tree import map_tree
from rmc_rl.errors import UserError
from rmc_rl.supervised.models import SequenceModel
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import Trained


class ModelStep(Step):
    """One row of B sequences: from ``input`` ``[B, I]`` and the memory to ``logits`` ``[B, C]`` and what was traced.

    Every row is answered, as if it were the last.

    Args:
        model: what is exported, as it is now; of a task whose inputs are numbers and whose last row is answered.
    """

    input_names = ("input",)

    def __init__(self, model: SequenceModel) -> None:
        model = bare_copy(model)
        self.output_names = ("logits", *traced_names(model.core))
        super().__init__(model.core)
        self.head = model.head

    def forward(self, input: Tensor, state: NamedState) -> dict[str, Any]:
        """The row's answer, what the memory did, and the memory after it."""
        going_on = torch.zeros_like(input[:, 0], dtype=torch.bool)
        trace = self.core.trace(input[None], self._tree(state), going_on[None])
        traced = {name: getattr(trace, name)[0] for name in self.output_names[1:]}
        after = map_tree(lambda leaf: leaf[0], trace.memory_after)
        return {"logits": self.head(trace.outputs[0]), **traced, "state": self._named(after)}

    def example(self) -> tuple[Tensor, ...]:
        """Zeros."""
        return (torch.zeros(2, self.core.input_size),)


def farthest_page(trained: Trained) -> tuple[bytes, dict[str, Any]]:
    """What `rmc_rl.page.writing.write_farthest_page` needs of a trained model: the ONNX graph, and what to know of it.

    Raises:
        UserError: it was trained on another task, or its core cannot be exported.
    """
    task = trained.task
    if not (isinstance(task, NthFarthest) and isinstance(trained.model, SequenceModel)):
        raise UserError(f"there is a page for task=nth-farthest alone, and {trained.run} was trained on another task")
    step = ModelStep(trained.model)
    try:
        graph = onnx_program(step).model_proto.SerializeToString()
    except ValueError as error:
        raise UserError(f"the model of {trained.run} cannot be exported: {error}") from error
    return graph, {
        "core": trained.config.core["name"],
        "steps": trained.steps,
        "num_vectors": task.num_vectors,
        "dimensions": task.dimensions,
        "inputs": [*step.input_names, *step.leaf_names],
        "outputs": [*step.output_names, *step.next_names],
        "initial_state": {name: leaf[0].tolist() for name, leaf in step.initial_state(1).items()},
    }
