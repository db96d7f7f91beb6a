"""From configuration to parts: the agent, the device, the share of the machine each process gets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rmc_agents import Agent
from rmc_agents.registry import make_core
from rmc_rl.config import Config, RunConfig
from rmc_rl.environment import import_named
from rmc_rl.errors import UserError
from rmc_rl.spaces import Interface


def build_agent(config: Config, interface: Interface, seed: int | None = None, trust: bool | None = None) -> Agent:
    """The agent of this configuration; with a seed its initial weights are a function of it alone.

    Args:
        config: what it is made of; the modules it names are imported first.
        interface: the spaces it is made for.
        seed: of the initial weights; None: from torch's own stream.
        trust: whether modules may be imported; None: as the configuration says.

    Raises:
        UserError: an unknown core or torso, arguments they refuse, more weights than memory holds, or a module that is
            not trusted or cannot be imported.
    """
    for module in config.modules:
        import_named(module, "modules", config.trust if trust is None else trust)
    options: dict[str, Any] = {str(key): value for key, value in config.core.items() if key != "name"}
    with refusals("the agent cannot be built"), torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return Agent(
            observation=interface.observation,
            actions=interface.actions,
            core=lambda input_size: make_core(config.core["name"], input_size, **options),
            torso=config.agent.torso,
            torso_options=dict(config.agent.torso_options),
            use_last_action=config.agent.use_last_action,
            use_last_reward=config.agent.use_last_reward,
            normalise_output=config.agent.normalise_output,
            normalise_value=config.agent.normalise_value,
        )


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """What a part says of arguments that it refuses becomes a `UserError` that begins with `what`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: {_first_line(error)}") from error
    except (RuntimeError, MemoryError, OverflowError) as error:  # torch's ways to say that a size is too large
        raise UserError(f"{what}, its sizes are too large: {_first_line(error)}") from error


def learner_device(config: RunConfig) -> str:
    """Resolve ``device=auto``.

    Raises:
        UserError: ``device=cuda`` without a usable GPU.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise UserError("device=cuda, but torch sees no GPU here: use device=cpu or device=auto")
    if config.device == "auto":
        return "cuda" if available else "cpu"
    return config.device


CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux tells a container how much of the machine it may use."""


def available_cores() -> int:
    """Cores this process may use (a container may be given fewer than the machine has)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return cores


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more


def prepare_process(threads: int) -> None:
    """Set up a process that acts or learns: torch's threads, and what the C library does with freed memory.

    The games' kernels are single-threaded by themselves. An update frees the same tens of megabytes again and again;
    glibc would hand them back and have the system clear every page anew, a fifth of the update's time.
    """
    torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)


def _first_line(error: Exception) -> str:
    """What happened; torch goes on with frames of its own code."""
    return str(error).partition("\n")[0] or type(error).__name__
