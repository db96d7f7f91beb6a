"""The supervised learner: makes its own batches, and better weights of them.

Every update draws its sequences from a stream of its own, a function of the run's seed and the update's number alone.
So a resumed run needs no record of random numbers, and goes on bit for bit.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.gradients import Gradients, GradientSum
from rmc_rl.optimizer import Optimizer
from rmc_rl.supervised.config import SupervisedConfig
from rmc_rl.supervised.models import SequenceModel
from rmc_rl.supervised.scores import Scores, score, sequence_loss
from rmc_rl.supervised.tasks.task import Batch, Stage, Task
from rmc_rl.weights import get_weights, load_weights

FEWEST_AT_ONCE, MOST_AT_ONCE = 16, 64
"""Sequences of a part, on a CPU, where not configured: half the batch within these bounds."""
EVALUATED_AT_ONCE = 512
_TRAINING, _EVALUATION = 0, 1  # streams


class SupervisedLearner:
    """A model, its task and its optimiser on one device.

    Args:
        task: makes the batches.
        model: trained in place; moved to `device`.
        config: of the run.
        device: where it learns.
        threads: parts of a batch worked on at a time; more than one on a CPU only.
    """

    def __init__(
        self,
        task: Task,
        model: SequenceModel,
        config: SupervisedConfig,
        device: str,
        threads: int = 1,
    ) -> None:
        self.task = task
        self.model = model.to(device)
        self.config = config
        self.device = torch.device(device)
        self.optimizer = Optimizer(self.model, config.learner)
        self.steps = 0
        on_cpu = self.device.type == "cpu"
        self._gradient_sum = GradientSum(self.optimizer.parameters, threads if on_cpu else 1)
        at_once = config.learner.sequences_at_once
        if at_once is None:
            # No function of the threads: how many there are must change no bit.
            size = config.learner.batch_size
            at_once = min(max(-(-size // 2), FEWEST_AT_ONCE), MOST_AT_ONCE) if on_cpu else size
        self._at_once = at_once
        self._generator = torch.Generator(self.device)

    def update(self) -> dict[str, Any]:
        """Learn from one batch; returns its figures, where one is due with an evaluation's under ``test``.

        Raises:
            NonFiniteLossError: the loss is not finite; the weights are those of the update before.
        """
        started = time.perf_counter()
        rate = self.optimizer.schedule(self.steps / self.config.total_steps, self.steps)
        batch = self._draw(self.config.learner.batch_size, "train", _TRAINING, self.steps)
        drawn = time.perf_counter()
        answers = batch.mask.sum()

        def work(part: Batch) -> Gradients:
            with self._autocast():
                logits, _ = self.model(part.inputs, part.reset, part.num_answers)
            loss = sequence_loss(logits, part.targets, part.mask).sum() / answers
            gradients = torch.autograd.grad(loss, self.optimizer.parameters, allow_unused=True)
            return gradients, _as_tensor(score(logits.detach(), part.targets, part.mask))

        sums = self._gradient_sum.put(split(batch, self._at_once), work)
        norm = self.optimizer.clip()
        # The only transfer that waits for the device.
        *values, grad_norm = torch.cat([sums, norm.double()[None]]).tolist()
        means = Scores(*(torch.tensor(value) for value in values)).means()
        if not (math.isfinite(means["loss"]) and math.isfinite(grad_norm)):
            raise NonFiniteLossError(
                f"the loss of update {self.steps + 1} is not finite (loss {means['loss']}, gradient norm {grad_norm}): "
                "the weights were left as they were; a smaller learner.learning_rate helps"
            )
        self.optimizer.step()
        self.steps += 1
        self.task.follow(torch.tensor(means["loss"]))
        seconds = time.perf_counter() - started
        figures: dict[str, Any] = means | {
            "grad_norm": grad_norm,
            "learning_rate": rate,
            "steps": self.steps,
            "sequences": self.config.learner.batch_size,
            "update_seconds": seconds,
            "data_seconds": drawn - started,
        }
        if self.steps % self.config.evaluation.every_steps == 0 or self.steps == self.config.total_steps:
            figures["test"] = self.evaluate()
        return figures

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Scores on new sequences of the task's full difficulty, the same each time."""
        left = self.config.evaluation.sequences
        total: Scores | None = None
        part = 0
        while left > 0:
            batch = self._draw(min(left, EVALUATED_AT_ONCE), "evaluation", _EVALUATION, part)
            with self._autocast():
                logits, _ = self.model(batch.inputs, batch.reset, batch.num_answers)
            scores = score(logits, batch.targets, batch.mask)
            total = scores if total is None else total + scores
            left -= EVALUATED_AT_ONCE
            part += 1
        assert total is not None
        return total.means()

    def get_state(self) -> dict[str, Any]:
        """Weights, optimiser state and counters: a tree of arrays and numbers."""
        return {
            "model": get_weights(self.model),
            "optimizer": self.optimizer.get_state(),
            "task": {name: np.asarray(value) for name, value in self.task.state_dict().items()},
            "steps": np.asarray(self.steps, np.int64),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of `get_state`.

        Raises:
            UserError: the weights do not fit this model, or the state is damaged.
        """
        try:
            weights, optimizer = state["model"], dict(state["optimizer"])
            self.task.load_state_dict({name: value.item() for name, value in state["task"].items()})
            self.steps = int(state["steps"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint's record of the learner is damaged: {error!r}") from error
        load_weights(self.model, weights)
        self.optimizer.set_state(optimizer)

    def _draw(self, size: int, stage: Stage, stream: int, number: int) -> Batch:
        seeds = np.random.SeedSequence([self.config.seed, stream, number])
        self._generator.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        return self.task.batch(size, self._generator, stage)

    def _autocast(self) -> torch.autocast:
        on = self.config.precision == "bfloat16" and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)


def split(batch: Batch, size: int) -> list[Batch]:
    """A batch in parts of so many sequences."""
    parts = zip(*(x.split(size, dim=1) for x in (batch.inputs, batch.reset, batch.targets, batch.mask)), strict=True)
    return [Batch(*part) for part in parts]


def _as_tensor(scores: Scores) -> Tensor:
    return torch.stack([value.double() for value in vars(scores).values()])
