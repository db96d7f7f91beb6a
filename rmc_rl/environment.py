"""The only way to environments: Gymnasium's `make` and `make_vec`, with wrappers, in the agent's language."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv, VectorWrapper

from rmc_rl.config import EnvConfig
from rmc_rl.errors import UserError, nearest, one_line
from rmc_rl.spaces import Adapted, AdaptedVector, Interface, interface

PROVIDERS = {"MiniGrid-": "minigrid", "BabyAI-": "minigrid", "popgym-": "popgym", "ALE/": "ale_py"}
"""Packages that register environments when they are imported, by how the ids begin."""
TRUSTED_MODULES = frozenset({"rmc_envs", "gymnasium", *PROVIDERS.values()})
"""Modules an environment id or a wrapper may name without ``trust=true``: importing a module runs its code."""

Wrap = Callable[[gymnasium.Env[Any, Any]], gymnasium.Wrapper[Any, Any, Any, Any]]


def find_spec(config: EnvConfig, trust: bool = False) -> EnvSpec:
    """Look the environment up, importing the module its id names.

    Raises:
        UserError: the id is unknown, its module cannot be imported, or it is not trusted.
    """
    module, _, name = config.id.rpartition(":")
    if module:
        import_named(module, f"the environment '{config.id}'", trust)
    elif name not in gymnasium.registry:
        provider = next((provider for start, provider in PROVIDERS.items() if name.startswith(start)), None)
        if provider is not None:
            import_named(provider, f"the environment '{config.id}'", trust=True)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        raise UserError(f"unknown environment '{config.id}': {nearest(name, gymnasium.registry)}") from error


def import_named(module: str, who: str, trust: bool) -> Any:
    """Import a module that a configuration names.

    Raises:
        UserError: it is not trusted, or it cannot be imported; the message says that `who` names it.
    """
    if module.split(".")[0] not in TRUSTED_MODULES and not trust:
        raise UserError(f"{who} names the module '{module}', whose code would be run: add trust=true if you trust it")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise UserError(f"the module of {who} cannot be imported: {one_line(error)}") from error
        raise UserError(f"the module of {who} cannot be imported: {module} is not installed here") from error
    except Exception as error:  # the module's code runs and may fail in any way
        raise UserError(f"the module of {who} cannot be imported: {one_line(error)}") from error


def find_wrappers(config: EnvConfig, trust: bool = False) -> list[Wrap]:
    """The configured wrappers, the innermost first.

    Raises:
        UserError: one is not known, not described as it should be, or not trusted.
    """
    found: list[Wrap] = []
    for given in config.wrappers:
        item = {"name": given} if isinstance(given, str) else given
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise UserError(
                f"env.wrappers: {given!r} is no wrapper: a name, or a name with arguments as in "
                "{name: TimeLimit, max_episode_steps: 100}, is needed"
            )
        module, _, name = item["name"].rpartition(":")
        place = import_named(module, f"the wrapper '{item['name']}'", trust) if module else gymnasium.wrappers
        wrapper = getattr(place, name, None)
        if not (isinstance(wrapper, type) and issubclass(wrapper, gymnasium.Wrapper)):
            known = [
                key
                for key, value in vars(place).items()
                if isinstance(value, type) and issubclass(value, gymnasium.Wrapper)
            ]
            raise UserError(f"env.wrappers: unknown wrapper '{item['name']}': {nearest(name, known)}")
        found.append(functools.partial(wrapper, **{key: item[key] for key in item if key != "name"}))
    return found


def make_vector(
    config: EnvConfig, num_envs: int, *, trust: bool = False, native: bool = True, threads: int | None = None
) -> VectorEnv:
    """A vector environment that takes and gives what the agent does and reads (`rmc_rl.spaces`).

    With ``vectorization=auto`` it is the id's native batch where it has one that resets itself as rollouts need it and
    no wrapper is configured; otherwise scalar environments, in turn.

    Args:
        config: id, keyword arguments, wrappers, how they are made a batch.
        num_envs: how many.
        trust: whether id and wrappers may name any module.
        native: whether the native batch is wanted.
        threads: shared by a step, where the native batch has an argument ``num_threads`` that is not configured; None:
            as it has it by itself.

    Raises:
        UserError: unknown id or wrapper, arguments the environment refuses, or spaces no agent here can handle.
    """
    spec = find_spec(config, trust)
    wrappers = find_wrappers(config, trust)
    kind = config.vectorization
    if kind == "native" and (spec.vector_entry_point is None or wrappers):
        why = "wrappers are for single ones" if wrappers else "it has none of its own"
        raise UserError(f"env.vectorization=native: the environment '{config.id}' cannot be made a batch ({why})")
    env = None
    if kind == "native" or (kind == "auto" and native and spec.vector_entry_point is not None and not wrappers):
        env = _make_native(config, spec, num_envs, threads)
        if kind == "auto" and not _resets_at_the_next_step(env) and spec.entry_point is not None:
            env.close()
            env = None
    if env is None:
        # Processes started by fork would hold each other's pipes open, and outlive an actor that is killed.
        options = {"context": "forkserver"} if kind == "async" else {}
        mode = "async" if kind == "async" else "sync"

        def make() -> Any:
            return gymnasium.make_vec(
                spec, num_envs, mode, vector_kwargs=options, wrappers=wrappers, **dict(config.kwargs)
            )

        env = _made(config, (lambda: _InProcesses(make)) if kind == "async" else make)
    try:
        found = interface(env)
        if not _resets_at_the_next_step(env):
            raise UserError(
                f"the environment '{config.id}' resets itself in mode {env.metadata.get('autoreset_mode')}; rollouts "
                "need AutoresetMode.NEXT_STEP (Gymnasium's default), and it has no single environment to make it of"
            )
    except UserError:
        env.close()
        raise
    return AdaptedVector(env) if found.needs_adapting else env


def interface_of(config: EnvConfig, *, trust: bool = False) -> Interface:
    """What the agent is made for, of an environment that is made once for it: so bad input costs nothing.

    Raises:
        UserError: as `make_vector`.
    """
    env = make_vector(config, 1, trust=trust)
    try:
        return interface(env)
    finally:
        env.close()


class _InProcesses(VectorWrapper):
    """Games in processes of their own, which are started anew at the reset after one of them raised or died.

    Gymnasium's batch has lost that one then, and what the others answered.

    Args:
        make: starts them.
    """

    env: AsyncVectorEnv

    def __init__(self, make: Callable[[], AsyncVectorEnv]) -> None:
        super().__init__(make())
        self._make = make
        self._broken = False

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As Gymnasium's."""
        if self._broken:
            self._end()
            self.env, self._broken = self._make(), False
        return self._whole(lambda: self.env.reset(seed=seed, options=options))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As Gymnasium's."""
        return self._whole(lambda: self.env.step(actions))

    def close(self, **kwargs: Any) -> None:
        """End the processes: by their environments' own way, unless they are broken."""
        if self._broken:
            self._end()
        else:
            self._whole(lambda: self.env.close(**kwargs))

    def _whole(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as error:  # Ctrl-C too leaves answers behind
            self._broken = True
            if isinstance(error, EOFError | ConnectionError):
                raise RuntimeError("a game's process died") from error
            raise

    def _end(self) -> None:
        for process in self.env.processes:
            process.kill()
            process.join()
        self.env.closed = True  # or it would ask them to end


def _make_native(config: EnvConfig, spec: EnvSpec, num_envs: int, threads: int | None) -> VectorEnv:
    share = {"num_threads": threads} if threads is not None and _takes_threads(spec) else {}
    kwargs = share | dict(config.kwargs)
    return _made(config, lambda: gymnasium.make_vec(spec, num_envs, "vector_entry_point", **kwargs))


def _made(config: EnvConfig, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        raise UserError(f"the environment '{config.id}' cannot be made: {one_line(error)}") from error


def _resets_at_the_next_step(env: VectorEnv) -> bool:
    return env.metadata.get("autoreset_mode") == AutoresetMode.NEXT_STEP


def _takes_threads(spec: EnvSpec) -> bool:
    entry: Any = spec.vector_entry_point
    return "num_threads" in inspect.signature(load_env_creator(entry) if isinstance(entry, str) else entry).parameters


def make_single(config: EnvConfig, *, trust: bool = False, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One environment, as the viewer plays it; like `make_vector` in the agent's language.

    Raises:
        UserError: as `make_vector`.
    """
    spec = find_spec(config, trust)
    wrappers = find_wrappers(config, trust)
    if "render_mode" in config.kwargs:
        raise UserError(
            f"the environment '{config.id}' cannot be made: render_mode is not an argument to configure, who plays the "
            "environment chooses it"
        )
    # An environment that cannot draw itself need not know the argument.
    draws: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    env = _made(config, lambda: gymnasium.make(spec, **draws, **config.kwargs))
    for wrap in wrappers:
        env = _made(config, functools.partial(wrap, env))
    try:
        return Adapted(env) if interface(env).needs_adapting else env
    except UserError:
        env.close()
        raise


def action_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """What each action is called, or each component of one: the environment's `action_names`, or their numbers."""
    space = env.action_space
    count = int(space.n) if isinstance(space, spaces.Discrete) else math.prod(space.shape or ())
    names = getattr(env.unwrapped, "action_names", None)
    if names is None or len(names) != count:
        return tuple(f"action {i}" for i in range(count))
    return tuple(str(name) for name in names)
