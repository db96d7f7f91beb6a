"""Several learners that learn as one: each from its share of a batch, all with the gradients of the whole.

Before an update the learners add up how many valid steps each of them has, which makes every loss a share of the mean
over the joined batch; after it they add up gradients and figures. So all take the same step of the optimiser, bit for
bit, and weights never travel between them.

`DistributedDataParallel` is no help here: it averages what backward passes leave in ``grad``, while a `Learner` works
through its batch in parts, on several threads, and has one sum at the end, to be added once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from rmc_rl.errors import UserError


class LearnerLostError(UserError):
    """A learner of the group does not answer: none of them can go on."""


class LearnerGroup:
    """This process's place among the learners; the first of them is where they meet.

    Args:
        listening: a socket at this learner's own address, under which the others reach it.
        addresses: those of all learners, in the same order everywhere; at least two.
        device: where they learn: over NCCL on ``cuda``, over gloo elsewhere.
        timeout: seconds until a learner that does not answer counts as lost.

    Raises:
        LearnerLostError: they did not all come.
    """

    def __init__(
        self, listening: socket.socket, addresses: Sequence[tuple[str, int]], device: str, timeout: float
    ) -> None:
        host, port = listening.getsockname()[:2]
        self.rank = list(addresses).index((host, port))
        _use_interface_of(host)
        patience = timedelta(seconds=timeout)
        try:
            store = dist.TCPStore(
                *addresses[0],
                is_master=self.rank == 0,
                wait_for_workers=False,
                timeout=patience,
                # Of its own accord it would listen at every address of the machine.
                master_listen_fd=listening.detach() if self.rank == 0 else None,
            )
            dist.init_process_group(
                "nccl" if device == "cuda" else "gloo",
                store=store,
                rank=self.rank,
                world_size=len(addresses),
                timeout=patience,
                device_id=torch.device("cuda", 0) if device == "cuda" else None,
            )
        except RuntimeError as error:
            raise LearnerLostError(f"the learners could not meet: {error}") from error
        listening.close()

    def all_reduce(self, tensors: list[Tensor]) -> list[Tensor]:
        """See `reduce_all`."""
        return reduce_all(tensors)


def reduce_all(tensors: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor over all processes, which give the same shapes in the same order.

    What has one type travels as one message; the result is the same for all, bit for bit.

    Raises:
        LearnerLostError: one of them has gone.
    """
    results = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[place].flatten() for place in places])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise LearnerLostError(f"a learner was lost: {error}") from error
        parts = flat.split([tensors[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            results[place] = part.view(tensors[place].shape)
    return results


def join_figures(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One update's figures, from those that each learner has returned (`Learner.update`).

    What the learners have added up is the same in all of them; the rest is of each one's own rollouts, as many in each.
    """
    if len(figures) == 1:
        return figures[0]

    def each(name: str) -> list[Any]:
        return [learner[name] for learner in figures]

    return figures[0] | {
        "policy_lag": float(np.mean(each("policy_lag"))),
        "policy_lag_max": max(each("policy_lag_max")),
        "policy_lag_steps": float(np.mean(each("policy_lag_steps"))),
        "update_seconds": max(each("update_seconds")),
        "episode_return": np.concatenate(each("episode_return")),
        "episode_length": np.concatenate(each("episode_length")),
        "env_failures": sum(each("env_failures")),
    }


def _use_interface_of(address: str) -> None:
    """Have gloo and NCCL use the network interface of this address, unless the environment names another.

    Gloo would look up the machine's name, which on many systems leads to the loopback address; nor is the network
    between the machines always the first that there is.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(own.address == address for own in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")
