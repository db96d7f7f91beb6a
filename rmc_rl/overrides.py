"""What was typed after the command: ``key=value`` words, checked before Hydra sees them.

Hydra composes; this module makes sure that a misspelt key, group or value is named with its nearest neighbours, and
that a resumed run takes over what was typed this time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rmc_rl.errors import UserError, nearest
from rmc_rl.schema import C, Schema, known_keys

_SCIENTIFIC = re.compile(r"\d+(\.\d*)?[eE]\+?\d{1,2}")


def groups(schema: Schema[Any], extra_dir: str | None = None) -> dict[str, list[str]]:
    """Config groups (sub-folders of the configuration) and their options."""
    shipped = [file for name in schema.groups for file in schema.folder(name).glob("*.yaml")]
    found: dict[str, set[str]] = {}
    for file in [*shipped, *(Path(extra_dir).glob("*/*.yaml") if extra_dir else [])]:
        found.setdefault(file.parent.name, set()).add(file.stem)
    return {name: sorted(options) for name, options in sorted(found.items())}


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Parse words by Hydra's grammar.

    Raises:
        UserError: a word is not of the form ``key=value``.
    """
    parser = OverridesParser.create()
    parsed = []
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise UserError(f"'{word}' is not of the form key=value (--help lists the keys)")
        try:
            parsed.append(parser.parse_override(word))
        except (HydraException, ValueError) as error:
            raise UserError(f"'{word}' cannot be read as key=value: {str(error).splitlines()[0]}") from error
    return parsed


def whole_numbers(words: Sequence[str], schema: Schema[Any]) -> list[str]:
    """Words in which ``total_steps=2e6`` has become ``total_steps=2000000``: YAML reads 2e6 as a float."""
    integers = {key for key, item in schema.describe() if str(item.type).split(" ")[0] == "int"}

    def plain(text: str) -> str:
        if not _SCIENTIFIC.fullmatch(text) or not float(text).is_integer():
            return text
        return str(int(float(text)))

    replaced = []
    for word in words:
        key, equals, text = word.partition("=")
        replaced.append(
            f"{key}={','.join(map(plain, text.split(',')))}" if equals and key.lstrip("+") in integers else word
        )
    return replaced


def check_overrides(words: Sequence[str], schema: Schema[Any], extra_dir: str | None = None) -> None:
    """Name the first unknown group option or key with its nearest neighbours.

    Raises:
        UserError: as said.
    """
    if extra_dir is not None and not Path(extra_dir).is_dir():
        raise UserError(f"the config folder {extra_dir} does not exist")
    known_groups = groups(schema, extra_dir)
    keys: list[str] | None = None
    chosen = []
    for override in (parsed := parse_overrides(words)):
        if override.key_or_group not in known_groups:
            continue
        options = known_groups[override.key_or_group]
        for value in _values(override):
            if value is None and override.key_or_group == "experiment":
                continue
            if str(value) not in options:
                name = override.key_or_group
                raise UserError(f"{name}={value} is not known: {nearest(str(value), options)}")
        if not override.is_sweep_override():
            chosen.append(str(override.input_line))
    for override in parsed:
        key = override.key_or_group
        if key in known_groups or key.startswith("hydra"):
            continue
        if keys is None:
            keys = known_keys(schema.compose(chosen, extra_dir))
        _check_keys(override, keys, schema, known_groups)


class ResumeWords(NamedTuple):
    """What was typed beside ``resume=…``."""

    run: str
    runs_dir: str | None
    others: list[str]


def resume_words(words: Sequence[str]) -> ResumeWords | None:
    """Take ``resume=…`` and ``runs_dir=…``, which say where to look, out of the words; None without a resume."""
    where: dict[str, Any] = {}
    others = []
    for override in parse_overrides(words):
        if override.key_or_group in ("resume", "runs_dir") and not override.is_sweep_override():
            where[override.key_or_group] = override.value()
        else:
            others.append(str(override.input_line))
    if where.get("resume") is None:
        return None
    runs_dir = where.get("runs_dir")
    return ResumeWords(str(where["resume"]), None if runs_dir is None else str(runs_dir), others)


def overridden(saved: C, words: Sequence[str], schema: Schema[C], extra_dir: str | None = None) -> C:
    """The saved configuration plus what was typed this time.

    A typed group (``engine=inline``) brings that section's values from its file; a typed key brings its value, and must
    be one that the saved configuration or a typed group has.

    Raises:
        UserError: as `Schema.make`; also a sweep or an experiment, which are not something to go on with.
    """
    parsed = parse_overrides(whole_numbers(words, schema))
    known_groups = groups(schema, extra_dir)
    for override in parsed:
        if override.is_sweep_override():
            raise UserError(f"'{override.input_line}' is a sweep: resume goes on with one run")
        if override.key_or_group == "experiment":
            raise UserError("experiment=… starts a run of its own; it cannot be laid over a resumed one")
    typed_groups = [override for override in parsed if override.key_or_group in known_groups]
    composed = schema.compose([str(override.input_line) for override in typed_groups], extra_dir)
    # Plain data, so that a group's section is replaced whole and leaves nothing behind; `to_config` checks it again.
    node = DictConfig(OmegaConf.to_container(OmegaConf.structured(saved)))
    node["trust"] = False  # a run folder may come from a stranger: only who types now can trust
    for override in typed_groups:
        node[override.key_or_group] = OmegaConf.to_container(composed[override.key_or_group], resolve=True)
    for override in parsed:
        key = override.key_or_group
        if key in known_groups or key.startswith("hydra"):
            continue
        _check_keys(override, known_keys(node), schema)
        if override.is_delete():
            section, _, name = key.rpartition(".")
            del (OmegaConf.select(node, section) if section else node)[name]
        else:
            OmegaConf.update(node, key, override.value(), force_add=True)
    return schema.to_config(node)


def _check_keys(override: Override, keys: Sequence[str], schema: Schema[Any], others: Iterable[str] = ()) -> None:
    """Name the first key that is not known with its nearest neighbours, ``others`` among them."""
    sections = {key.rpartition(".")[0] for key in keys} | set(schema.free)
    for key in _typed_keys(override, sections):
        is_free = key.startswith(tuple(f"{section}." for section in schema.free))  # +env.kwargs.size=7 may add one
        if key not in keys and not (override.is_add() and is_free):
            section = override.key_or_group
            added = section + ("=…" if key == section else "={…}")
            hint = f" (a new one is added with +{added})" if is_free else ""
            raise UserError(f"unknown key '{key}': {nearest(key, [*keys, *others])}{hint}")


def _typed_keys(override: Override, sections: Collection[str]) -> list[str]:
    """The key, or those beneath it that the value of a section spells out: ``env.kwargs={size: 7}``."""

    def beneath(key: str, value: Any) -> list[str]:
        if key not in sections or not isinstance(value, dict) or not value:
            return [key]
        return [typed for name, inner in value.items() for typed in beneath(f"{key}.{name}", inner)]

    if override.is_delete() or override.is_sweep_override():
        return [override.key_or_group]
    return beneath(override.key_or_group, override.value())


def _values(override: Override) -> list[Any]:
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        return []  # a pattern chooses among what there is
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.value()]
