"""Processes that learn as one, started by ``torchrun``: each from its share of every batch, with the whole's gradients.

Process 0 leads: it has the run folder, the display and the signals, and says what comes next, an update or the state
for a checkpoint; the others follow. All draw the same batch and take their share of it, so that a run's batches do not
depend on how many processes there are. (`rmc_rl.impala.data_parallel` does this for learners that Ray has started.)
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.impala.data_parallel import LearnerLostError, reduce_all
from rmc_rl.loop import Learning

_UPDATE, _STATE, _END = range(3)
_LOST = "another process of the run has gone: resume=… goes on from the newest checkpoint"
GOODBYE_SECONDS = 1.0


class Processes:
    """This process's place among those of a run; alone unless :func:`joined` says otherwise.

    Args:
        rank: 0 leads.
        count: processes.
        local_rank: among those of this machine, which is also the number of its GPU.
        local_count: processes of this machine.
    """

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0, local_count: int = 1) -> None:
        self.rank, self.count = rank, count
        self.local_rank, self.local_count = local_rank, local_count
        self._lost = False

    def own(self, tensor: Tensor, dim: int) -> Tensor:
        """This process's share of a tensor that all have; empty where there are more processes than entries."""
        return tensor if self.count == 1 else tensor.tensor_split(self.count, dim)[self.rank]

    def all_reduce(self, tensors: list[Tensor]) -> list[Tensor]:
        """The sum of each tensor over all processes, the same bits for all.

        Raises:
            LearnerLostError: one of them has gone.
        """
        if self.count == 1:
            return tensors
        with self._together():
            return reduce_all(tensors)

    def gathered(self, tensor: Tensor) -> Tensor:
        """The shares of all processes ``[b, ...]``, joined along the first axis, on the CPU."""
        if self.count == 1:
            return tensor.cpu()
        shares: list[Any] = [None] * self.count
        with self._together():
            dist.all_gather_object(shares, tensor.cpu())
        return torch.cat(shares)

    def share(self, what: Any = None) -> Any:
        """What process 0 gives, for all."""
        if self.count == 1:
            return what
        box = [what]
        with self._together():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What all do at once; where one is lost, never again: the others may wait for what does not come."""
        if self._lost:
            raise LearnerLostError(_LOST)
        try:
            yield
        except (RuntimeError, LearnerLostError) as error:
            self._lost = True
            raise LearnerLostError(_LOST) from error


ALONE = Processes()


class Leading:
    """A learner, whose every move the others are told of, so that they make it too."""

    def __init__(self, learner: Learning, processes: Processes) -> None:
        self._learner = learner
        self._processes = processes

    def update(self) -> Mapping[str, Any] | None:
        """One update."""
        self._processes.share(_UPDATE)
        return self._learner.update()

    def get_state(self) -> dict[str, Any] | None:
        """All that is needed to go on, also where another process is lost."""
        with suppress(LearnerLostError):
            self._processes.share(_STATE)
        return self._learner.get_state()

    def end(self) -> None:
        """The others may leave; those that are lost have left."""
        with suppress(LearnerLostError):
            self._processes.share(_END)


def follow(learner: Learning, processes: Processes) -> None:
    """Make every move of process 0, until it says that there are no more."""
    while (word := processes.share()) != _END:
        if word == _STATE:
            learner.get_state()
            continue
        with suppress(NonFiniteLossError):  # in all processes alike: process 0 says what becomes of it
            learner.update()


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that ``torchrun`` has started, which all come here; alone where it has not.

    Raises:
        LearnerLostError: they could not meet.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    processes = Processes(*(int(os.environ[name]) for name in names))
    gpu = torch.cuda.is_available()
    if gpu:
        if processes.local_count > torch.cuda.device_count():
            raise UserError(
                f"torchrun started {processes.local_count} processes on a machine with {torch.cuda.device_count()} "
                "GPUs: --nproc-per-node must not be larger; or CUDA_VISIBLE_DEVICES= to learn on the CPU"
            )
        torch.cuda.set_device(processes.local_rank)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise LearnerLostError(f"the processes could not meet: {error}") from error
    if processes.rank > 0:
        _ignore_signals()  # process 0 ends the run, and saves it
    try:
        yield processes
    finally:
        # torchrun ends whoever is left where one fails, and sends each Ctrl-C on a second time: what happened is to be
        # said first, and a good end stays one.
        _ignore_signals()
        dist.destroy_process_group()
        # gloo's thread lives on, and needs the interpreter once more to let go of the last message: one that came upon
        # an interpreter on its way out would abort the process.
        time.sleep(GOODBYE_SECONDS)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
