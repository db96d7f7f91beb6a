"""Observations: what one of them is made of, so that a torso can be built for it.

An observation is described by `Vector`, `Image` or `Categories`, or by a dict or tuple of descriptions where it is made
of several parts. Batches of it are trees of tensors of the same structure, ``[N, *shape]`` each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

MOST_NUMBERS = 10**8
"""That a stored observation may have; its description may come from a stranger."""


@dataclass(frozen=True)
class Vector:
    """Numbers without an order in space; unsigned bytes are scaled to [0, 1].

    Attributes:
        shape: any; more than one axis is flattened.
    """

    shape: tuple[int, ...]
    kind: ClassVar[str] = "vector"


@dataclass(frozen=True)
class Image:
    """A picture, or a map of cells; unsigned bytes are scaled to [0, 1].

    Attributes:
        shape: (height, width, channels).
    """

    shape: tuple[int, ...]
    kind: ClassVar[str] = "image"


@dataclass(frozen=True)
class Categories:
    """Whole numbers that stand for one of several things each.

    Attributes:
        sizes: how many things for each number.
        shape: ``()`` for a single number, otherwise ``(len(sizes),)``.
    """

    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    kind: ClassVar[str] = "categories"


Observation: TypeAlias = "Vector | Image | Categories | dict[str, Any] | tuple[Any, ...]"
"""A description, or a dict or tuple of them."""

Leaf = Vector | Image | Categories


def observation_to_json(observation: Observation) -> dict[str, Any]:
    """What :func:`observation_from_json` reads."""
    if isinstance(observation, dict):
        parts = {name: observation_to_json(part) for name, part in observation.items()}
        return {"kind": "dict", "parts": parts}
    if isinstance(observation, tuple):
        return {"kind": "tuple", "parts": [observation_to_json(part) for part in observation]}
    record: dict[str, Any] = {"kind": observation.kind, "shape": list(observation.shape)}
    return record | ({"sizes": list(observation.sizes)} if isinstance(observation, Categories) else {})


def observation_from_json(record: Any) -> Observation:
    """The description that :func:`observation_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is no such description.
    """
    kind = record["kind"]
    if kind == "dict":
        return {str(name): observation_from_json(part) for name, part in record["parts"].items()}
    if kind == "tuple":
        return tuple(observation_from_json(part) for part in record["parts"])
    shape = _sizes(record["shape"])
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"{shape} is too large")
    if kind == "categories":
        sizes = _sizes(record["sizes"])
        if sum(sizes) > MOST_NUMBERS:
            raise ValueError(f"{sizes} are too many")
        if not sizes or shape not in ((), (len(sizes),)) or (shape == () and len(sizes) > 1):
            raise ValueError(f"{record!r} describes no observation")
        return Categories(sizes, shape)
    if kind not in ("vector", "image") or not shape or (kind == "image" and len(shape) != 3):
        raise ValueError(f"{record!r} describes no observation")
    return Image(shape) if kind == "image" else Vector(shape)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(values)
    if any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError(f"{values!r} are no sizes")
    return sizes
