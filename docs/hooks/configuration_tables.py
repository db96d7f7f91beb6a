"""The reference of keys and options: what ``--help`` says, for reading at leisure."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmc_agents.registry import Registry, cores
from rmc_rl.__main__ import verbs
from rmc_rl.config import TRAIN
from rmc_rl.options import shown
from rmc_rl.overrides import groups
from rmc_rl.schema import Schema, describe
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.tasks.task import tasks

TRAINING = {
    "train": "Its keys are [those of the configuration](configuration.md#keys-of-rmc_rltrain).",
    "supervised": "Its keys are [those of the configuration](configuration.md#keys-of-rmc_rlsupervised).",
}
"""Verbs whose keys fill a page of their own."""
REGISTRIES: Mapping[str, Registry[Any]] = {"core": cores, "task": tasks}
"""Where the classes are whose arguments a group of configurations gives."""
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
    rows: dict[str, list[list[str]]] = {}
    for name, item in schema.describe():
        section = name.rpartition(".")[0]
        value: Any = shipped
        for part in name.split("."):
            value = value[part]
        # What a group brings is shown with its files.
        default = [] if section in schema.groups else ["" if name in schema.groups else f"`{shown(value)}`"]
        cells = [f"`{name}`{{ #{prefix}{name} }}", _type(item), *default, _meaning(item)]
        rows.setdefault(section, []).append(cells)
    headings = {"": "A whole run"} | {
        item.name: str(inspect.getdoc(item.default_factory)).partition("\n")[0].rstrip(".")
        for item in fields(schema.cls)
        if item.default_factory is not MISSING and is_dataclass(item.default_factory)
    }
    order = sorted(rows, key=list(headings).index)
    parts = []
    for section in order:
        title = f"`{section}`: {headings[section]}" if section else headings[section]
        shipped_column = [] if section in schema.groups else ["shipped value"]
        table = _table(["key", "type", *shipped_column, "meaning"], rows[section])
        parts.append(f"### {title} {{ #{prefix}{section or 'run'} }}\n\n{table}")
    return "\n\n".join(parts)


def choices(schema: Schema[Any], group: str) -> str:
    """The files of a group, each in a tab as it is shipped: its comment says what it is.

    Under the file of a core or a task stand the arguments of its class, as the docstring tells them.
    """
    tabs = []
    for option in groups(schema)[group]:
        text = (schema.folder(group) / f"{option}.yaml").read_text().rstrip()
        body = f"```yaml\n{text}\n```"
        registry: Registry[Any] | None = REGISTRIES.get(group)
        if registry is not None:
            part = registry.get(re.search(r"(?m)^ *name: (\w+)", text)[1])  # type: ignore[index]
            body += "\n\n" + _arguments(part, group)
        tabs.append(f'=== "{option}"\n\n' + re.sub("(?m)^(?=.)", "    ", body))
    return "\n\n".join(tabs)


def _arguments(part: type, group: str) -> str:
    """The keyword arguments of a class, of which a configuration's group gives the values."""
    documented = inspect.cleandoc(part.__doc__ or "")
    section = re.search(r"(?ms)^Args:\n(.*?)(?=^\S|\Z)", documented)
    assert section is not None, part
    found = re.findall(r"(?ms)^    (\w+): (.*?)(?=^    \w+: |\Z)", section[1])
    meanings = {name: _as_markdown(" ".join(text.split())) for name, text in found}
    options = inspect.signature(part).parameters.values()
    rows = [[f"`{group}.{each.name}`", meanings[each.name]] for each in options if each.kind is each.KEYWORD_ONLY]
    return _table(["key", "meaning"], rows)


def _as_markdown(text: str) -> str:
    """A docstring's words: two backticks are one, a role is its name."""
    text = re.sub(r":\w+:`~?[\w.]*?(\w+)`", r"`\1`", text).replace("``", "`")
    return text.replace("*", "\\*") if "`" not in text else text


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
        ending = "" if summary.endswith("?") else "."
        parts.append(f"## {verb}\n\n{summary[0].upper()}{summary[1:]}{ending}\n\n```bash\n{example}\n```")
        parts.append(documented.partition("\n\n")[2] if verb not in TRAINING else TRAINING[verb])
        named = [value for name, value in vars(module).items() if name.endswith("Options") and isinstance(value, type)]
        parts += [_options(one) for one in named if one.__module__ == module.__name__]
    return "\n\n".join(parts)


def _link(named: re.Match[str]) -> str:
    return f"[{named[1]}]({named[1]}.md)" if (DOCS / f"{named[1]}.md").exists() else named[0]


def _options(options: type) -> str:
    rows = [
        [f"`{item.name}`", _type(item), f"`{shown(_default(item))}`", _meaning(item)] for _, item in describe(options)
    ]
    return _table(["option", "type", "default", "meaning"], rows)


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
    return str(item.metadata["meaning"]).replace("*", "\\*")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As cards where a screen is narrow: docs/assets/site.css."""
    lines = [_row(*head), _row(*["---"] * len(head)), *(_row(*row) for row in rows)]
    return '<div class="keys" markdown>\n\n' + "\n".join(lines) + "\n\n</div>"


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
