"""The only way to the games: Gymnasium's `make` and `make_vec`, and what an agent must know of an environment."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv

from rmc_rl.config import EnvConfig
from rmc_rl.errors import UserError, nearest

TRUSTED_MODULES = frozenset({"rmc_envs"})
"""Modules an environment id may name without ``trust=true``: importing a module runs its code."""


@dataclass(frozen=True)
class Interface:
    """What an agent must know of an environment."""

    observation_shape: tuple[int, ...]
    is_image: bool
    num_actions: int


def find_spec(config: EnvConfig, trust: bool = False) -> EnvSpec:
    """Look the environment up, importing the module its id names.

    Raises:
        UserError: the id is unknown, its module cannot be imported, or it is not trusted.
    """
    module, _, name = config.id.rpartition(":")
    if module and module.split(".")[0] not in TRUSTED_MODULES and not trust:
        raise UserError(
            f"the environment id '{config.id}' names the module '{module}', whose code would be run: "
            "add trust=true if you trust it"
        )
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:  # the module's code runs and may fail in any way
            raise UserError(
                f"the module of the environment '{config.id}' cannot be imported: {_text(error)}"
            ) from error
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        raise UserError(f"unknown environment '{config.id}': {nearest(name, gymnasium.registry)}") from error


def make_vector(
    config: EnvConfig, num_envs: int, *, trust: bool = False, native: bool = True, threads: int | None = None
) -> VectorEnv:
    """A vector environment: the id's native batch where it has one, otherwise scalar environments in turn.

    Args:
        config: id and keyword arguments.
        num_envs: how many.
        trust: whether the id may name any module.
        native: whether the native batch is wanted.
        threads: shared by a step, where the native batch has an argument ``num_threads`` that is not configured; None:
            as it has it by itself.

    Raises:
        UserError: unknown id, arguments the environment refuses, or spaces no agent here can handle.
    """
    spec = find_spec(config, trust)
    mode = "vector_entry_point" if native and spec.vector_entry_point is not None else "sync"
    try:
        kwargs = dict(config.kwargs)
        if threads is not None and mode == "vector_entry_point" and _takes_threads(spec):
            kwargs = {"num_threads": threads} | kwargs
        env = gymnasium.make_vec(spec, num_envs=num_envs, vectorization_mode=mode, **kwargs)
    except Exception as error:
        raise UserError(f"the environment '{config.id}' cannot be made: {_text(error)}") from error
    try:
        interface(env.single_observation_space, env.single_action_space)
    except UserError:
        env.close()
        raise
    return env


def _takes_threads(spec: EnvSpec) -> bool:
    entry: Any = spec.vector_entry_point
    return "num_threads" in inspect.signature(load_env_creator(entry) if isinstance(entry, str) else entry).parameters


def make_single(config: EnvConfig, *, trust: bool = False, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One environment, as the viewer plays it.

    Raises:
        UserError: as `make_vector`.
    """
    spec = find_spec(config, trust)
    try:
        # An environment that cannot draw itself need not know the argument.
        if "render_mode" in config.kwargs:
            raise ValueError("render_mode is not an argument to configure: who plays the environment chooses it")
        draws: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        return gymnasium.make(spec, **draws, **config.kwargs)
    except Exception as error:
        raise UserError(f"the environment '{config.id}' cannot be made: {_text(error)}") from error


def interface(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Interface:
    """What an agent must know, from the spaces of one environment.

    Raises:
        UserError: the spaces are not a Box of vectors or images and a Discrete from 0.
    """
    if not isinstance(action_space, spaces.Discrete) or action_space.start != 0:
        raise UserError(f"the action space {action_space} is not supported: Discrete(n) with start 0 is needed")
    if not isinstance(observation_space, spaces.Box):
        raise UserError(f"the observation space {observation_space} is not supported: a Box is needed")
    shape = observation_space.shape
    is_image = observation_space.dtype == np.uint8 and len(shape) == 3
    if not is_image and len(shape) != 1:
        raise UserError(
            f"the observation space {observation_space} is not supported: a vector or a uint8 image [H, W, C] is needed"
        )
    return Interface(shape, is_image, int(action_space.n))


def action_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """What each action is called: the environment's `action_names`, or their numbers."""
    assert isinstance(env.action_space, spaces.Discrete)
    count = int(env.action_space.n)
    names = getattr(env.unwrapped, "action_names", None)
    if names is None or len(names) != count:
        return tuple(f"action {i}" for i in range(count))
    return tuple(str(name) for name in names)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
