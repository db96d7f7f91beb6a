"""Names for the parts an agent is made of, so that a configuration can ask for a core or a torso by name.

A new core is one file with a decorated class and one configuration that names it and its options::

    @register_core("my_core")
    class MyCore(Core):
        def __init__(self, input_size: int, *, hidden_size: int = 64) -> None: ...

    core = make_core("my_core", input_size, hidden_size=128)

Options are checked against the constructor's keyword-only arguments and their annotations before anything is built.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from rmc_agents.core import Core

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """Classes by name.

    Args:
        kind: what the classes are, for messages: "core", "torso".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[Part]] = {}

    def register(self, name: str) -> Callable[[type[Part]], type[Part]]:
        """A class decorator that makes the class known as ``name``. A name can be given once only: ``ValueError``."""

        def decorate(part: type[Part]) -> type[Part]:
            known = self._classes.get(name)
            # The same class again comes from a reloaded module.
            if known is not None and (known.__module__, known.__qualname__) != (part.__module__, part.__qualname__):
                raise ValueError(
                    f"{self.kind} {name!r} is already registered as {known.__module__}.{known.__qualname__}"
                )
            self._classes[name] = part
            return part

        return decorate

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._classes)

    def get(self, name: str) -> type[Part]:
        """The class of that name; ``ValueError`` with the nearest name if there is none."""
        if name not in self._classes:
            raise ValueError(f"unknown {self.kind} {name!r}{_nearest(name, self._classes)}; known: {self.names()}")
        return self._classes[name]

    def make(self, name: str, *arguments: Any, **options: Any) -> Part:
        """Build the part of that name; ``arguments`` go to its constructor as they are, ``options`` are checked first.

        Raises:
            ValueError: an unknown name or option, or a missing option.
            TypeError: an option of another type than the constructor's annotation says.
        """
        part = self.get(name)
        check_options(f"{self.kind} {name!r}", part, options)
        return part(*arguments, **options)


def check_options(what: str, part: type, options: dict[str, Any]) -> None:
    """Check options against the keyword-only arguments of a class's constructor; ``what`` names it in messages.

    Raises ``ValueError`` for an unknown or missing option and ``TypeError`` for a value that its annotation excludes.
    """
    constructor = part.__init__  # type: ignore[misc]
    parameters = [
        parameter
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    allowed = [parameter.name for parameter in parameters]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{what} has no option {option!r}{_nearest(option, allowed)}; its options: {allowed}")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in options]
    if missing:
        raise ValueError(f"{what}: options missing: {missing}")
    annotations = typing.get_type_hints(constructor)
    for option, value in options.items():
        annotation = annotations.get(option, Any)
        if not matches(value, annotation):
            raise TypeError(
                f"{what}: option {option!r}: {value!r} ({type(value).__name__}) given, "
                f"{inspect.formatannotation(annotation)} needed"
            )


def matches(value: Any, annotation: Any) -> bool:
    """Whether a configured value fits a type annotation.

    Stricter than Python where configurations go wrong (a bool is no number, ``None`` fits only where written) and as
    lenient where they cannot do otherwise (an int fits ``float``, a list fits ``tuple``). Knows plain classes, unions,
    ``Literal``, and tuples and lists of these; any other annotation accepts everything.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(argument) and value == argument for argument in arguments)
    if origin in (tuple, list):
        if not isinstance(value, tuple | list):
            return False
        if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
            return all(matches(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(matches, value, arguments))
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    # Any is a class in some versions of Python, but not one to compare with.
    return annotation is Any or not isinstance(annotation, type) or isinstance(value, annotation)


def _nearest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


cores: Registry[Core] = Registry("core")


def register_core(name: str) -> Callable[[type[Core]], type[Core]]:
    """Class decorator: make a :class:`~rmc_agents.core.Core` known to :func:`make_core` as ``name``.

    The constructor takes the input's width first and everything else by keyword.
    """
    return cores.register(name)


def make_core(name: str, input_size: int, **options: Any) -> Core:
    """Build the core registered as ``name``; errors as in :meth:`Registry.make`."""
    return cores.make(name, input_size, **options)


def core_names() -> list[str]:
    """The names that :func:`make_core` knows, sorted."""
    return cores.names()
