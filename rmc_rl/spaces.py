"""Gymnasium's spaces and the agent: what it must know of them, and how what it reads and does becomes what they hold.

An agent knows vectors, images, categories and trees of them, and discrete, multi-discrete and continuous actions
(`rmc_agents.observations`, `rmc_agents.actions`). `Interface` joins the spaces of an environment with the agent's view
of them; it is stored with every checkpoint, so that an agent can be loaded without its environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper

from rmc_agents.actions import Actions, Continuous, Discrete, MultiDiscrete
from rmc_agents.observations import Categories, Image, Observation, Vector
from rmc_rl.errors import UserError

MOST_CHANNELS_FIRST = 16
"""An image whose first axis is at most so long, and shorter than its last, is taken for [channels, height, width]."""
MOST_CHOICES = 10**6
"""That what is given to the network as one-hots, or chosen by it, may have; more would fill the memory."""
MOST_NUMBERS = 10**8
"""In one observation or action of a stored space; it may come from a stranger."""


@dataclass(frozen=True)
class Interface:
    """The spaces of one environment.

    Raises:
        UserError: no agent here can handle them.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def __post_init__(self) -> None:
        _ = self.observation, self.actions  # raise now

    @cached_property
    def observation(self) -> Observation:
        """What the agent reads."""
        return _observation(self.observation_space)

    @cached_property
    def actions(self) -> Actions:
        """What the agent does."""
        return _actions(self.action_space)

    @property
    def needs_adapting(self) -> bool:
        """Whether what the environment gives and takes is anything else than what the agent reads and does."""
        if not (isinstance(self.action_space, spaces.Discrete) and self.action_space.start == 0):
            return True
        return any(_changes(leaf) for leaf in _leaves(self.observation_space))

    def to_agent(self, observation: Any) -> Any:
        """An observation, or a batch [B, …] of them, as the agent reads it."""
        return _map(_leaf_to_agent, self.observation_space, observation)

    def to_environment(self, action: np.ndarray) -> np.ndarray:
        """An action of the agent, or a batch [B, …] of them, as the environment takes it."""
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            return action + space.start
        leading = action.shape[:-1]
        if isinstance(space, spaces.MultiDiscrete):
            return (action.reshape(*leading, *space.shape) + space.start).astype(space.dtype)
        if isinstance(space, spaces.MultiBinary):
            return action.reshape(*leading, *space.shape).astype(space.dtype)
        assert isinstance(space, spaces.Box)
        assert isinstance(self.actions, Continuous)
        squashed = self.actions.squash(torch.from_numpy(np.asarray(action, np.float32))).numpy()
        squashed = squashed.reshape(*leading, *space.shape).astype(np.float64)
        low, high = (np.where(_bounded(space), bound, 0.0).astype(np.float64) for bound in (space.low, space.high))
        scaled = np.where(_bounded(space), low + (squashed + 1.0) / 2.0 * (high - low), squashed)
        # Rounding to the environment's type may step over a bound.
        return np.clip(scaled.astype(space.dtype), space.low, space.high)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"observation": _space_to_json(self.observation_space), "action": _space_to_json(self.action_space)}

    @classmethod
    def from_json(cls, record: Any) -> Interface:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is no such description.
            UserError: no agent here can handle it.
        """
        return cls(_space_from_json(record["observation"]), _space_from_json(record["action"]))


def interface(env: gymnasium.Env[Any, Any] | VectorEnv) -> Interface:
    """What an agent must know of an environment, or of each in a batch.

    Raises:
        UserError: no agent here can handle its spaces.
    """
    if isinstance(env, VectorEnv):
        return Interface(env.single_observation_space, env.single_action_space)
    return Interface(env.observation_space, env.action_space)


class AdaptedVector(VectorWrapper):
    """A batch of environments that speaks the agent's language; its spaces stay what they are."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self.interface = interface(env)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.interface.to_agent(observation), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As the environment's, with the agent's actions and observations."""
        observation, *rest = self.env.step(self.interface.to_environment(actions))
        return self.interface.to_agent(observation), *rest


class Adapted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One environment that speaks the agent's language; its spaces stay what they are."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.interface = interface(env)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.interface.to_agent(observation), info

    def step(self, action: np.ndarray) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """As the environment's, with the agent's action and observation."""
        native = self.interface.to_environment(np.asarray(action))
        observation, *rest = self.env.step(native[()] if native.ndim == 0 else native)
        return self.interface.to_agent(observation), *rest


# Spaces as the agent sees them


def _observation(space: spaces.Space[Any]) -> Observation:
    if isinstance(space, spaces.Dict):
        return {name: _observation(part) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_observation(part) for part in space.spaces)
    if isinstance(space, spaces.Discrete):
        return Categories(_choices(space), ())
    if isinstance(space, spaces.MultiDiscrete):
        sizes = _choices(space)
        return Categories(sizes, (len(sizes),))
    if isinstance(space, spaces.MultiBinary):
        return Vector(tuple(space.shape))
    if not isinstance(space, spaces.Box):
        raise UserError(
            f"the observation space {space} is not supported: Box, Discrete, MultiDiscrete and MultiBinary are, and "
            "Dict and Tuple of these; a wrapper of Gymnasium's can make one of it (env.wrappers)"
        )
    if 0 in space.shape:
        raise UserError(f"the observation space {space} is not supported: it has an axis of length 0")
    if space.dtype == np.uint8 and len(space.shape) == 3:
        shape = space.shape
        return Image((*shape[1:], shape[0]) if _channels_first(space) else tuple(shape))
    if space.dtype == np.uint8 and len(space.shape) == 2:
        return Image((*space.shape, 1))
    return Vector(tuple(space.shape) or (1,))


def _actions(space: spaces.Space[Any]) -> Actions:
    if isinstance(space, spaces.Discrete):
        return Discrete(*_choices(space))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiDiscrete(_choices(space))
    if isinstance(space, spaces.MultiBinary):
        return MultiDiscrete([2] * math.prod(space.shape))
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and math.prod(space.shape) > 0:
        low, high = np.isfinite(space.low), np.isfinite(space.high)
        if (low == high).all():
            return Continuous([bool(each) for each in low.reshape(-1)])
        raise UserError(
            f"the action space {space} is not supported: each of its numbers needs two bounds or none; a wrapper such "
            "as RescaleAction can give it both (env.wrappers)"
        )
    raise UserError(
        f"the action space {space} is not supported: Discrete, MultiDiscrete, MultiBinary and Box of real numbers are"
    )


def _choices(space: spaces.Discrete | spaces.MultiDiscrete) -> tuple[int, ...]:
    """How many for each number."""
    sizes = (int(space.n),) if isinstance(space, spaces.Discrete) else tuple(map(int, space.nvec.reshape(-1)))
    if sum(sizes) > MOST_CHOICES:
        raise UserError(
            f"the space {space} is not supported: an agent can tell at most {MOST_CHOICES:,} values apart, and it has "
            f"{sum(sizes):,}"
        )
    return sizes


def _bounded(space: spaces.Box) -> np.ndarray:
    return np.isfinite(space.low)


def _channels_first(space: spaces.Box) -> bool:
    first, _, last = space.shape
    return first <= MOST_CHANNELS_FIRST and first < last and last > MOST_CHANNELS_FIRST


def _changes(space: spaces.Space[Any]) -> bool:
    """Whether `_leaf_to_agent` does anything."""
    if isinstance(space, spaces.Box):
        if space.dtype == np.float64 or not space.shape:
            return True
        return space.dtype == np.uint8 and (len(space.shape) == 2 or (len(space.shape) == 3 and _channels_first(space)))
    return True


def _leaf_to_agent(space: spaces.Space[Any], values: Any) -> np.ndarray:
    array = np.asarray(values)
    if isinstance(space, spaces.Box):
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if not space.shape:
            return array[..., None]
        if space.dtype == np.uint8 and len(space.shape) == 2:
            return array[..., None]
        if space.dtype == np.uint8 and len(space.shape) == 3 and _channels_first(space):
            return np.moveaxis(array, -3, -1)
        return array
    if isinstance(space, spaces.Discrete):
        return array.astype(np.int64) - int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        leading = array.shape[: array.ndim - len(space.shape)]
        return (array.astype(np.int64) - space.start).reshape(*leading, -1)
    return array.astype(np.float32)


def _leaves(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return [leaf for part in space.spaces.values() for leaf in _leaves(part)]
    if isinstance(space, spaces.Tuple):
        return [leaf for part in space.spaces for leaf in _leaves(part)]
    return [space]


def _map(function: Callable[[spaces.Space[Any], Any], np.ndarray], space: spaces.Space[Any], values: Any) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _map(function, part, values[name]) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_map(function, part, each) for part, each in zip(space.spaces, values, strict=True))
    return function(space, values)


# Spaces as JSON


def _space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "parts": {name: _space_to_json(part) for name, part in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "parts": [_space_to_json(part) for part in space.spaces]}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "shape": list(space.shape), "flat": isinstance(space.n, int)}
    assert isinstance(space, spaces.Box)
    bounds = {"low": _bound_to_json(space.low), "high": _bound_to_json(space.high)}
    return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}


def _bound_to_json(bound: np.ndarray) -> Any:
    """One number where all are the same; JSON knows no infinity, there it is its name."""
    values = [value if math.isfinite(value) else str(value) for value in bound.reshape(-1).tolist()]
    return values[0] if all(value == values[0] for value in values) else values


def _space_from_json(record: Any) -> spaces.Space[Any]:
    kind = record["type"]
    if kind == "Dict":
        return spaces.Dict({str(name): _space_from_json(part) for name, part in record["parts"].items()})
    if kind == "Tuple":
        return spaces.Tuple([_space_from_json(part) for part in record["parts"]])
    if kind == "Discrete":
        n, start = record["n"], record["start"]
        if type(n) is not int or type(start) is not int or n > MOST_NUMBERS:
            raise ValueError(f"{record!r} is no space")
        return spaces.Discrete(n, start=start)
    if kind == "MultiDiscrete":
        nvec, start = np.array(record["nvec"]), np.array(record["start"])
        if not (nvec.dtype.kind == start.dtype.kind == "i") or nvec.sum() > MOST_NUMBERS:
            raise ValueError(f"{record!r} is no space")
        return spaces.MultiDiscrete(nvec, start=start)
    shape = tuple(record["shape"])
    if any(type(size) is not int or size < 1 for size in shape) or math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"{shape!r} is no shape")
    if kind == "MultiBinary":
        return spaces.MultiBinary(shape[0] if record["flat"] else shape)
    if kind != "Box" or np.dtype(record["dtype"]).kind not in "iufb":
        raise ValueError(f"{kind!r} is no space")
    dtype = np.dtype(record["dtype"])
    # Through float64 for the names of infinities; whole numbers might lose digits there.
    through = dtype if dtype.kind in "iub" else np.dtype(np.float64)
    low, high = (np.array(record[name], through) for name in ("low", "high"))
    low, high = (
        np.broadcast_to(bound.reshape(shape) if bound.ndim else bound, shape).astype(dtype) for bound in (low, high)
    )
    return spaces.Box(low, high, dtype=dtype.type)
