"""Who gets how many cores, and which device learns: of this machine, or of a cluster's nodes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rmc_rl.building import available_cores, learner_device
from rmc_rl.config import Config
from rmc_rl.errors import UserError

ACTORS_SHARE = 0.4
"""Of a CPU's cores; learning takes the rest, and what is left of these."""


def own_device(config: Config) -> str:
    """Resolve ``device=auto`` by the GPUs of this machine.

    Raises:
        UserError: more learners than GPUs, or none where one is asked for.
    """
    device = learner_device(config)
    if device == "cuda":
        _check_gpus(config, torch.cuda.device_count(), "this machine")
    return device


def cluster_device(config: Config, gpus: int) -> str:
    """Resolve ``device=auto`` by the GPUs of a cluster.

    Raises:
        UserError: more learners than GPUs, or none where one is asked for.
    """
    if config.device == "cpu" or (config.device == "auto" and gpus == 0):
        return "cpu"
    _check_gpus(config, gpus, "the cluster")
    return "cuda"


def _check_gpus(config: Config, gpus: int, where: str) -> None:
    count = config.learner.count
    if gpus < count:
        raise UserError(
            f"learner.count={count} on device=cuda needs {count} GPU{'s' * (count > 1)}, and {where} has {gpus}: "
            "device=cpu learns without"
        )


def share_cores(config: Config, device: str) -> tuple[int, int]:
    """Number of actors and of each learner's threads, from the machine's cores where not configured.

    On a CPU learning costs about twice what acting does. The learners get a thread for every core all the same: what
    the actors leave of their cores they take, and as they wait for it they leave what it needs.
    """
    cores, learners = available_cores(), config.learner.count
    threads = config.engine.learner_threads
    if threads is None:
        threads = 1 if device == "cuda" else max(1, cores // learners)
    actors = config.actor.num_actors
    if actors is None:
        share = cores - learners if device == "cuda" else ACTORS_SHARE * cores
        actors = max(1, round(share / config.engine.actor_threads))
    return actors, threads


def cluster_threads(config: Config, device: str, nodes: Sequence[float]) -> int:
    """Number of each learner's threads, from the CPUs of the cluster's nodes where not configured.

    A learner is on one node, the largest come first, and leaves some of its CPUs to actors.
    """
    if config.engine.learner_threads is not None:
        return config.engine.learner_threads
    learners, sizes = config.learner.count, sorted((size for size in nodes if size > 0), reverse=True)
    if device == "cuda" or not sizes:
        return 1
    together = -(-learners // len(sizes))  # on one node
    return max(1, int((1 - ACTORS_SHARE) * sizes[min(learners, len(sizes)) - 1] / together))


def cluster_actors(config: Config, threads: int, nodes: Sequence[float]) -> int:
    """Number of actors, where not configured as many as find room beside learners of so many threads."""
    if config.actor.num_actors is not None:
        return config.actor.num_actors
    return max(1, int((sum(nodes) - config.learner.count * threads) // config.engine.actor_threads))


def check_room(config: Config, threads: int, nodes: Sequence[float]) -> None:
    """Whether the CPUs of the cluster's nodes are enough for the learners, each of so many threads, and one actor.

    Raises:
        UserError: they are not.
    """
    needed = config.learner.count * threads + config.engine.actor_threads
    if sum(nodes) < needed or max(nodes, default=0) < threads:
        raise UserError(
            f"the cluster's nodes have {', '.join(f'{size:g}' for size in nodes) or 'no'} CPUs: {threads} on one node "
            f"are needed for each learner, {needed} in all; fewer engine.learner_threads, or more nodes"
        )
