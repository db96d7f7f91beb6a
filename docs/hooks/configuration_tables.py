"""The reference of keys and options: what ``--help`` says, for reading at leisure."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmc_rl.__main__ import verbs
from rmc_rl.config import TRAIN
from rmc_rl.options import shown
from rmc_rl.overrides import groups
from rmc_rl.schema import Schema, describe
from rmc_rl.supervised.config import SUPERVISED

TRAINING = {
    "train": "Its keys are [those of the configuration](configuration.md#keys-of-rmc_rltrain).",
    "supervised": "Its keys are [those of the configuration](configuration.md#keys-of-rmc_rlsupervised).",
}
"""Verbs whose keys fill a page of their own."""
DOCS = Path(__file__).resolve().parents[1]
PAGE = re.compile(r"docs/([\w-]+)\.md")
"""As docstrings name pages."""


def keys(schema: Schema[Any], prefix: str) -> str:
    """Every key of a kind of configuration, section by section; each is an anchor of the page.

    Arguments:
        schema: the kind.
        prefix: of the anchors, where another kind has keys of the same names.
    """
    shipped = schema.compose([])
    rows: dict[str, list[str]] = {}
    for name, item in schema.describe():
        section = name.rpartition(".")[0]
        value: Any = shipped
        for part in name.split("."):
            value = value[part]
        # What a group brings is shown with its files.
        default = "" if section in schema.groups or name in schema.groups else f"`{shown(value)}`"
        cells = (f"`{name}`{{ #{prefix}{name} }}", _type(item), default, _meaning(item))
        rows.setdefault(section, []).append(_row(*cells))
    headings = {"": "A whole run"} | {
        item.name: str(inspect.getdoc(item.default_factory)).partition("\n")[0].rstrip(".")
        for item in fields(schema.cls)
        if item.default_factory is not MISSING and is_dataclass(item.default_factory)
    }
    head = [_row("key", "type", "shipped value", "meaning"), _row(*["---"] * 4)]
    order = sorted(rows, key=list(headings).index)
    parts = []
    for section in order:
        title = f"`{section}`: {headings[section]}" if section else headings[section]
        parts.append("\n".join([f"### {title} {{ #{prefix}{section or 'run'} }}", "", *head, *rows[section]]))
    return "\n\n".join(parts)


def choices(schema: Schema[Any], group: str) -> str:
    """The files of a group, each in a tab as it is shipped: its comment says what it is."""
    tabs = []
    for option in groups(schema)[group]:
        text = (schema.folder(group) / f"{option}.yaml").read_text().rstrip()
        tabs.append(f'=== "{option}"\n\n    ```yaml\n' + re.sub("(?m)^(?=.)", "    ", text) + "\n    ```")
    return "\n\n".join(tabs)


def commands() -> str:
    """Every verb: what its module says about it, and its options or where its keys stand."""
    parts = []
    for verb, summary in verbs().items():
        try:
            module = importlib.import_module(f"rmc_rl.{verb}.__main__")
        except ModuleNotFoundError:
            module = importlib.import_module(f"rmc_rl.{verb}")
        documented = PAGE.sub(_link, inspect.getdoc(module) or "")
        example = re.findall(r"``(python -m [^`]*)``", documented)[0]
        parts.append(f"## {verb}\n\n{summary[0].upper()}{summary[1:]}.\n\n```bash\n{example}\n```")
        parts.append(documented.partition("\n\n")[2] if verb not in TRAINING else TRAINING[verb])
        named = [value for name, value in vars(module).items() if name.endswith("Options") and isinstance(value, type)]
        parts += [_options(one) for one in named if one.__module__ == module.__name__]
    return "\n\n".join(parts)


def _link(named: re.Match[str]) -> str:
    return f"[{named[1]}]({named[1]}.md)" if (DOCS / f"{named[1]}.md").exists() else named[0]


def _options(options: type) -> str:
    rows = [
        _row(f"`{item.name}`", _type(item), f"`{shown(_default(item))}`", _meaning(item))
        for _, item in describe(options)
    ]
    return "\n".join([_row("option", "type", "default", "meaning"), _row(*["---"] * 4), *rows])


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _type(item: Field[Any]) -> str:
    """A key's type and limits: ``int from 1 to 1,000 or null``."""
    limits = item.metadata
    if limits["choices"]:
        words = ", ".join(f"`{choice}`" for choice in limits["choices"])
        return words + (" or `null`" if "None" in str(item.type) else "")
    name, _, null = str(item.type).partition(" | ")
    name = re.sub(r"\[.*", "", name)
    least, most, above = (limits.get(limit) for limit in ("minimum", "maximum", "above"))
    if above is not None:
        name += f" above {above:,g}" + (f", at most {most:,g}" if most is not None else "")
    elif least is not None:
        name += f" from {least:,g}" + (f" to {_number(most)}" if most is not None else "")
    if limits.get("may_be_infinite"):
        name += ", or `inf`"
    return name + (" or `null`" if null else "")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _meaning(item: Field[Any]) -> str:
    return str(item.metadata["meaning"])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


MAKERS: Mapping[str, Callable[[], str]] = {
    "keys of train": partial(keys, TRAIN, ""),
    "keys of supervised": partial(keys, SUPERVISED, "supervised-"),
    **{f"train's {group}": partial(choices, TRAIN, group) for group in TRAIN.groups},
    **{f"supervised's {group}": partial(choices, SUPERVISED, group) for group in SUPERVISED.groups},
    "commands": commands,
}
"""What is made, by its name in pages."""
