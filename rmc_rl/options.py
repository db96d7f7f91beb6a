"""``key=value`` options of the verbs that have a handful of them (evaluate, watch): a dataclass is the whole parser."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rmc_rl.errors import UserError, nearest

Options = TypeVar("Options")


def option(default: Any, meaning: str, choices: Sequence[str] | None = None, minimum: float | None = None) -> Any:
    """A field of an options dataclass with its meaning and limits."""
    metadata = {"meaning": meaning, "choices": choices, "minimum": minimum}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def parse_options(schema: type[Options], words: Sequence[str], usage: str) -> Options:
    """Options from the words typed; ``--help`` prints the page and leaves.

    Raises:
        UserError: an unknown option, a wrong type or a value outside its limits.
    """
    known = {item.name: item for item in fields(schema)}  # type: ignore[arg-type]
    if "-h" in words or "--help" in words:
        print(usage.strip() + "\n\nOptions:")
        for item in known.values():
            print(f"  {item.name}={shown(_default(item))}\n      {_meaning(item)}")
        raise SystemExit(0)
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"'{word}' is not of the form key=value (--help lists the options)")
        if name not in known:
            raise UserError(f"unknown option '{name}': {nearest(name, known)}")
        if text in ("null", "None"):
            given[name] = None
        else:
            given[name] = split_list(name, text) if str(known[name].type).startswith("list[str]") else text
    try:
        options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), given))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise UserError(f"{key}={given.get(str(key))}: {str(error).splitlines()[0]}") from error
    for name, item in known.items():
        value = getattr(options, name)
        choices, minimum = item.metadata["choices"], item.metadata["minimum"]
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name}={value} is not a finite number")
        if value is not None and choices and value not in choices:
            raise UserError(f"{name}={value} is not known: {nearest(str(value), choices)}")
        if value is not None and minimum is not None and value < minimum:
            raise UserError(f"{name}={value} is too small: at least {minimum}")
    return options  # type: ignore[return-value]


def split_list(name: str, text: str) -> list[str]:
    """The words of ``[a,b]``, or of ``a`` alone; a comma in a word stands between double quotes.

    Raises:
        UserError: there is none, or an empty one.
    """
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else None
    try:
        words = [text] if inner is None else next(csv.reader([inner], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise UserError(f"{name}={text}: {error}; a list is [a,b]") from error
    words = [word.strip() for word in words]
    if not words or not all(words):
        raise UserError(f"{name}={text} names nothing: a list is [a,b]")
    return words


def shown(value: Any) -> str:
    """A value as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _meaning(item: Field[Any]) -> str:
    choices = item.metadata["choices"]
    return item.metadata["meaning"] + (f" ({', '.join(choices)})" if choices else "")
