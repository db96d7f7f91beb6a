"""The supervised learner: makes its own batches, and better weights of them.

Every update draws its sequences from a stream of its own, a function of the run's seed and the update's number alone.
So a resumed run needs no record of random numbers, and goes on bit for bit. A text is read on from window to window
instead, and the memory of its streams is part of the state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmc_agents.core import State
from rmc_agents.tree import leaves, map_tree
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.gradients import Gradients, GradientSum
from rmc_rl.impala.data_parallel import LearnerLostError
from rmc_rl.optimizer import Optimizer
from rmc_rl.supervised.config import SupervisedConfig
from rmc_rl.supervised.models import Model
from rmc_rl.supervised.processes import ALONE, Processes
from rmc_rl.supervised.scores import Scores
from rmc_rl.supervised.tasks.task import Batch, Stage, StreamTask, Task
from rmc_rl.weights import get_weights, load_weights

FEWEST_AT_ONCE, MOST_AT_ONCE = 16, 64
"""Sequences of a part, on a CPU, where not configured: half the batch within these bounds."""
EVALUATED_AT_ONCE = 512
_TRAINING, _EVALUATION, _NOISE = range(3)  # streams of random numbers


class SupervisedLearner:
    """A model, its task and its optimiser on one device.

    Args:
        task: makes the batches.
        model: trained in place; moved to `device`.
        config: of the run.
        device: where it learns.
        threads: parts of a batch worked on at a time; more than one on a CPU only.
        processes: those that share each batch.

    Raises:
        ValueError: a batch that cannot be shared, or a text too short for it.
    """

    def __init__(
        self,
        task: Task,
        model: Model,
        config: SupervisedConfig,
        device: str,
        threads: int = 1,
        processes: Processes = ALONE,
    ) -> None:
        self.task = task
        self.model = model.to(device)
        self.config = config
        self.device = torch.device(device)
        self.optimizer = Optimizer(self.model, config.learner)
        self.steps = 0
        self.processes = processes
        size = config.learner.batch_size
        if size % processes.count:
            raise ValueError(f"learner.batch_size={size} cannot be shared by {processes.count} processes evenly")
        if isinstance(task, StreamTask):
            task.window(size, 0, self.device)
        on_cpu = self.device.type == "cpu"
        self._gradient_sum = GradientSum(self.optimizer.parameters, threads if on_cpu else 1, processes.all_reduce)
        own_size = size // processes.count
        at_once = config.learner.sequences_at_once
        if at_once is None:
            # No function of the threads: how many there are must change no bit.
            at_once = min(max(-(-own_size // 2), FEWEST_AT_ONCE), MOST_AT_ONCE) if on_cpu else own_size
        self._at_once = at_once
        self._generator = torch.Generator(self.device)
        self._memory: State | None = None  # of a text's streams, those of this process
        self._judge = torch.compile(self.model.judge) if config.learner.compile else self.model.judge

    def update(self) -> dict[str, Any]:
        """Learn from one batch; returns its figures, where one is due with an evaluation's under ``test``.

        Raises:
            NonFiniteLossError: the loss is not finite; the weights are those of the update before.
        """
        started = time.perf_counter()
        rate = self.optimizer.schedule(self.steps / self.config.total_steps, self.steps)
        batch = self._next_batch()
        drawn = time.perf_counter()
        answers = batch.mask.sum()
        own = self._share(batch)
        parts = list(zip(split(own, self._at_once), self._memories(own), strict=True))
        after: list[State] = [None] * len(parts)

        def work(number: int) -> Gradients:
            part, memory = parts[number]
            with self._autocast():
                total, scores, state = self._judge(part, memory, self._noise(number))
            gradients = torch.autograd.grad(total / answers, self.optimizer.parameters, allow_unused=True)
            after[number] = map_tree(lambda leaf: leaf.detach().float(), state)
            return gradients, scores.as_tensor()

        sums = self._gradient_sum.put(range(len(parts)), work)
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
        if isinstance(self.task, StreamTask):
            self._memory = map_tree(lambda *states: torch.cat(states), *after)
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
        total = torch.zeros(len(fields(Scores)), dtype=torch.float64, device=self.device)
        memory: State | None = None
        for batch in self._evaluated():
            with self._autocast():
                _, scores, state = self._judge(batch, memory)
            memory = state if isinstance(self.task, StreamTask) else None
            total += scores.as_tensor()
        (total,) = self.processes.all_reduce([total])
        return Scores(*total).means()

    def get_state(self) -> dict[str, Any]:
        """Weights, optimiser state, counters, and the memory of a text's streams: a tree of arrays and numbers.

        All processes take part; those that do not lead give no state.
        """
        streams: dict[str, Any] = {}
        if isinstance(self.task, StreamTask) and self._memory is not None:
            with suppress(LearnerLostError):  # then the streams begin anew
                streams["memory"] = [self.processes.gathered(leaf).numpy() for leaf in leaves(self._memory)]
                streams["marks"] = {name: np.asarray(mark) for name, mark in self.task.stream_marks.items()}
        if self.processes.rank > 0:
            return {}
        state: dict[str, Any] = {
            "model": get_weights(self.model),
            "optimizer": self.optimizer.get_state(),
            "task": {name: np.asarray(value) for name, value in self.task.state_dict().items()},
            "steps": np.asarray(self.steps, np.int64),
        }
        return state | streams

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of `get_state`.

        Raises:
            UserError: the weights do not fit this model, or the state is damaged.
        """
        try:
            weights, optimizer = state["model"], dict(state["optimizer"])
            self.task.load_state_dict({name: value.item() for name, value in state["task"].items()})
            self.steps = int(state["steps"])
            memory = [torch.from_numpy(np.array(leaf)) for leaf in state.get("memory", [])]
            marks = {name: value.item() for name, value in state.get("marks", {}).items()}
        except ValueError as error:
            raise UserError(f"the checkpoint does not fit: {error}") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"the checkpoint's record of the learner is damaged: {error!r}") from error
        load_weights(self.model, weights)
        self.optimizer.set_state(optimizer)
        like = self.model.initial_state(self.config.learner.batch_size)
        # With another text, window, batch size or memory the streams are others, which begin anew.
        same = isinstance(self.task, StreamTask) and marks == self.task.stream_marks
        if same and memory and [leaf.shape for leaf in memory] == [leaf.shape for leaf in leaves(like)]:
            own = [self.processes.own(leaf, 0).to(self.device) for leaf in memory]
            self._memory = _with_leaves(like, own)

    def _next_batch(self) -> Batch:
        """That of all processes."""
        size = self.config.learner.batch_size
        if isinstance(self.task, StreamTask):
            return self.task.window(size, self.steps, self.device)
        return self._draw(size, "train", _TRAINING, self.steps)

    def _evaluated(self) -> Iterator[Batch]:
        """This process's share of the sequences that the model is judged by."""
        count = self.config.evaluation.sequences
        if isinstance(self.task, StreamTask):
            for batch in self.task.windows(count, "valid", self.device):
                if self.processes.own(batch.reset, 1).numel():
                    yield self._share(batch)
            return
        for part, done in enumerate(range(0, count, EVALUATED_AT_ONCE)):
            if part % self.processes.count == self.processes.rank:
                yield self._draw(min(count - done, EVALUATED_AT_ONCE), "evaluation", _EVALUATION, part)

    def _share(self, batch: Batch) -> Batch:
        """This process's share of it."""
        own = self.processes.own
        return Batch(own(batch.inputs, 1), own(batch.reset, 1), own(batch.targets, 1), own(batch.mask, 1))

    def _memories(self, own: Batch) -> list[State]:
        """The memory that each part of a batch begins with."""
        if self._memory is None:
            return [None] * -(-own.reset.shape[1] // self._at_once)
        pieces = [leaf.split(self._at_once) for leaf in leaves(self._memory)]
        return [_with_leaves(self._memory, part) for part in zip(*pieces, strict=True)]

    def _draw(self, size: int, stage: Stage, stream: int, number: int) -> Batch:
        return self.task.batch(size, _seeded(self._generator, self.config.seed, stream, number), stage)

    def _noise(self, part: int) -> torch.Generator:
        """What a part of this update draws dropout from: no function of the thread it falls to."""
        generator = torch.Generator(self.device)
        return _seeded(generator, self.config.seed, _NOISE, self.steps, self.processes.rank, part)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")


def split(batch: Batch, size: int) -> list[Batch]:
    """A batch in parts of so many sequences."""
    parts = zip(*(x.split(size, dim=1) for x in (batch.inputs, batch.reset, batch.targets, batch.mask)), strict=True)
    return [Batch(*part) for part in parts]


def _seeded(generator: torch.Generator, *numbers: int) -> torch.Generator:
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return generator.manual_seed(int(seed >> np.uint64(1)))


def _with_leaves(tree: State, replaced: Sequence[Tensor]) -> State:
    """A tree of the same structure with these leaves."""
    following = iter(replaced)
    return map_tree(lambda _: next(following), tree)
