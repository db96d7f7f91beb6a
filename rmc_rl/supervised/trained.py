"""A trained model: read from a run folder, with the task that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rmc_rl.building import refusals
from rmc_rl.checkpoint import find_checkpoint, load_checkpoint
from rmc_rl.run_folder import find_run
from rmc_rl.supervised.config import SUPERVISED, SupervisedConfig
from rmc_rl.supervised.models import Model
from rmc_rl.supervised.progress import SupervisedProgress
from rmc_rl.supervised.tasks import Batch, Task
from rmc_rl.supervised.trainer import build
from rmc_rl.weights import load_weights

AT_ONCE = 512


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        task: what it was trained on.
        model: on the CPU.
        config: of its run.
        run: the folder.
        steps: updates that it was trained for.
    """

    task: Task
    model: Model
    config: SupervisedConfig
    run: Path
    steps: int

    def answers(self, sequences: int, seed: int) -> Iterator[tuple[Batch, Tensor]]:
        """New sequences of full difficulty in batches, each with the model's likeliest answers ``[A, B]``."""
        for batch, logits in self.asked(self.task, sequences, torch.Generator().manual_seed(seed)):
            yield batch, logits.argmax(dim=-1)

    @torch.no_grad()
    def asked(self, task: Task, sequences: int, generator: torch.Generator) -> Iterator[tuple[Batch, Tensor]]:
        """New sequences of a task's full difficulty in batches, each with the model's logits ``[A, B, C]``.

        Args:
            task: who asks: the model's own task, or one of the same sizes.
            sequences: how many.
            generator: what they are drawn from.
        """
        for done in range(0, sequences, AT_ONCE):
            batch = task.batch(min(AT_ONCE, sequences - done), generator, "evaluation")
            logits, _ = self.model(batch.inputs, batch.reset, batch.num_answers)
            yield batch, logits


def load(
    run: str | Path = "latest",
    checkpoint: str = "latest",
    runs_dir: str = "runs",
    *,
    replaced: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Trained:
    """Load a trained model.

    Args:
        run: a run folder, or ``latest`` for the newest below `runs_dir`.
        checkpoint: ``latest``, ``best``, or the name of a folder in the run's ``checkpoints``.
        runs_dir: where run folders are made.
        replaced: arguments of its task that are to be others, such as where its texts are now.
        trust: whether the modules that its configuration names may be imported: their code is run.

    Raises:
        UserError: no such run or checkpoint, it is damaged, or a module it needs is not trusted.
    """
    path = find_run(str(run), runs_dir, SUPERVISED)
    config = SUPERVISED.read(path / "config.yaml")
    config.task.update(replaced or {})
    chosen = find_checkpoint(path, checkpoint)
    state, info = load_checkpoint(chosen)
    steps = SupervisedProgress.from_json(info, chosen).steps
    task, model = build(config, trust=trust)
    with refusals(f"{chosen} does not fit"):
        task.load_state_dict({name: value.item() for name, value in state["task"].items()})
    load_weights(model, state["model"])
    return Trained(task, model.eval(), config, path, steps)
