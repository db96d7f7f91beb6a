"""What the peers' own processes share: the request they read, the answer they give, and the core as they carry it.

A peer's script runs in the peer's virtual environment (`benchmarks.peers`): of this project, only ``rmc_envs``,
``rmc_agents`` and these scripts can be imported there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents import make_core
from rmc_agents.core import State
from rmc_agents.tree import leaves, map_tree

Request = dict[str, Any]
"""What to measure: env, observation, core, torso, torso_options, compare, settings, warm_up and seconds."""

Answer = dict[str, Any]
"""``steps_per_second`` and the ``settings`` it was reached with."""


def serve(measure: Callable[[Request], Answer]) -> None:
    """Read the request from standard input, measure, and write the answer to the file named on the command line.

    To a file, because standard output belongs to the peers, which print what they like.
    """
    Path(sys.argv[1]).write_text(json.dumps(measure(json.load(sys.stdin))))


def chosen(best: dict[str, dict[str, Any]], request: Request) -> dict[str, Any]:
    """The settings to measure with: the best known ones of this comparison, and what the request changes of them.

    Raises:
        ValueError: the request names a setting that there is not.
    """
    known = best[request["compare"]]
    unknown = sorted(request["settings"].keys() - known.keys())
    if unknown:
        raise ValueError(f"settings: {', '.join(unknown)} given, some of {', '.join(known)} needed")
    return known | request["settings"]


class PlainCore(nn.Module):
    """A core as someone would plug it into a framework: step by step, its state one row of numbers per game.

    A framework begins an episode with a row of zeros, which is what its LSTM needs. The row is therefore the memory's
    difference from the initial one: zeros are the initial memory, whatever that is.

    Args:
        options: name and options of the core, as in the configuration; a fast path is turned off.
        input_size: width of one input row.
    """

    def __init__(self, options: dict[str, Any], input_size: int) -> None:
        super().__init__()
        options = dict(options)
        if "fast" in options:
            options["fast"] = False
        self.core = make_core(options.pop("name"), input_size, **options)
        self.input_size = input_size
        self.output_size = self.core.output_size
        self.leaf_sizes = [leaf[0].numel() for leaf in leaves(self.core.initial_state(1))]
        self.state_size = sum(self.leaf_sizes)

    def memory(self, state: Tensor) -> State:
        """The memory that the rows ``[B, state_size]`` stand for."""
        differences = iter(state.split(self.leaf_sizes, dim=1))
        return map_tree(lambda leaf: leaf + next(differences).view_as(leaf), self.core.initial_state(len(state)))

    def state(self, memory: State) -> Tensor:
        """The rows ``[B, state_size]`` that stand for a memory."""
        initial = self.core.initial_state(len(leaves(memory)[0]))
        return torch.cat(leaves(map_tree(lambda leaf, start: (leaf - start).flatten(1), memory, initial)), dim=1)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``[T, B, input_size]`` and ``[B, state_size]`` to ``[T, B, output_size]`` and the state after row T - 1."""
        never = torch.zeros(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        outputs, memory = self.core(inputs, self.memory(state), never)
        return outputs, self.state(memory)
