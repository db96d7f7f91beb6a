"""Kinds of configuration: how YAML files and the words typed become a checked dataclass, and are read back from a run.

A kind's dataclass holds each key's type, meaning and limits (`key`); its values live in ``configs/*.yaml``, which a
person can read and edit. Hydra composes them with the words typed. What comes out, like what is read from a run folder,
is checked and turned into plain objects of that dataclass.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from rmc_rl.errors import UserError, nearest
from rmc_rl.paths import config_dir

C = TypeVar("C")

VERBS = {"env": "train", "task": "supervised"}
"""The section that all configurations of a kind have and no other kind has, and the verb that makes runs of it."""

REQUIRED: Any = "???"  # OmegaConf's mark for "no value yet": every value comes from YAML


def key(
    meaning: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    may_be_infinite: bool = False,
    default: Any = REQUIRED,
) -> Any:
    """A field of a configuration, with its meaning and limits; its value comes from YAML unless there is a default."""
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    limits["may_be_infinite"] = may_be_infinite
    metadata = {"meaning": meaning, **limits}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Schema(Generic[C]):
    """A kind of configuration.

    Attributes:
        file: the YAML file it starts from, below ``configs`` and without the suffix; its folder holds the groups.
        cls: the dataclass.
        section: of `VERBS`.
        groups: the folders of choices that are shipped for it.
        free: sections that any key may be added to: what they configure (an environment) knows which it takes.
        finish: completes and checks what has become an object of the class; raises `UserError`.
    """

    file: str
    cls: type[C]
    section: str
    groups: tuple[str, ...]
    free: tuple[str, ...]
    finish: Callable[[C], None]

    def __post_init__(self) -> None:
        # Under this name the file's `defaults` bring it in.
        ConfigStore.instance().store(name=f"{Path(self.file).name}_schema", node=self.cls)

    @property
    def folders(self) -> list[Path]:
        """Where the groups lie: beside the file, and what all verbs share at the top."""
        return list(dict.fromkeys([(config_dir() / self.file).parent, config_dir()]))

    def folder(self, group: str) -> Path:
        """Where a group's files lie."""
        return next(folder / group for folder in self.folders if (folder / group).is_dir())

    def search_path(self, *folders: str) -> list[str]:
        """The word, if there is need of one, by which these folders and the shared one join the file's own."""
        found = [f"file://{folder.resolve()}" for folder in (*map(Path, folders), *self.folders[1:])]
        return [f"hydra.searchpath=[{','.join(map(_quoted, found))}]"] if found else []

    def compose(self, overrides: Sequence[str], extra_dir: str | None = None) -> DictConfig:
        """Compose the file with Hydra; a wrong type or missing group becomes a `UserError`."""
        search = self.search_path(*([extra_dir] if extra_dir else []))
        # The caller may itself be a Hydra application (the train verb is): its state is set aside and put back.
        surrounding = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(self.folders[0]), version_base="1.3"):
                return compose(Path(self.file).name, overrides=[*overrides, *search])
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(_explain(error)) from error
        except (YAMLError, OSError, ValueError) as error:  # of a file in the user's folder
            raise UserError(f"the configuration cannot be read: {' '.join(str(error).split())}") from error
        finally:
            GlobalHydra.instance().hydra = surrounding

    def make(self, *overrides: str, extra_dir: str | None = None) -> C:
        """A validated configuration from the shipped values and overrides written as on the command line.

        Raises:
            UserError: an unknown key or value, a wrong type, or a value outside its limits.
        """
        from rmc_rl.overrides import check_overrides, whole_numbers  # which need this module

        words = whole_numbers(overrides, self)
        check_overrides(words, self, extra_dir)
        return self.to_config(self.compose(words, extra_dir))

    def to_config(self, node: DictConfig | dict[str, Any]) -> C:
        """Turn a composed or stored configuration into a validated object."""
        try:
            self._check_keys(OmegaConf.create(node) if isinstance(node, dict) else node)
            merged = OmegaConf.merge(OmegaConf.structured(self.cls), node)
            OmegaConf.resolve(merged)
            missing = sorted(OmegaConf.missing_keys(merged))
            if missing:
                raise UserError(f"the configuration lacks a value for {', '.join(missing)}")
            config = OmegaConf.to_object(merged)
        except OmegaConfBaseException as error:
            raise UserError(_explain(error)) from error
        assert isinstance(config, self.cls)
        _check_limits(config)
        self.finish(config)
        return config

    def read(self, path: Path) -> C:
        """Read a stored configuration as plain data: nothing in it is imported or instantiated.

        Raises:
            UserError: the file is missing, is not YAML, or does not fit the schema.
        """
        node = read_plain(path)
        try:
            return self.to_config(node)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def other_verb(self, path: Path) -> str | None:
        """The verb whose kind of configuration a file holds, where it is not of this kind."""
        try:
            found = re.search(rf"^({'|'.join(VERBS)}):", path.read_text(errors="replace"), re.MULTILINE)
        except OSError:
            return None  # whoever reads it will say so
        return VERBS[found[1]] if found and found[1] != self.section else None

    def describe(self) -> list[tuple[str, Field[Any]]]:
        """Every key in order, as (dotted name, dataclass field)."""
        return describe(self.cls)

    def _check_keys(self, node: DictConfig) -> None:
        """An unknown key is named with its nearest neighbours (OmegaConf would only say that it is unknown)."""
        names = {name for name, _ in self.describe()}
        sections = {name.rsplit(".", 1)[0] for name in names if "." in name}
        known = names | sections

        def walk(part: DictConfig, prefix: str) -> None:
            for name in map(str, part):
                dotted = f"{prefix}{name}"
                if dotted not in known:
                    raise UserError(f"unknown key '{dotted}': {nearest(dotted, known)}")
                if dotted in sections and isinstance(part[name], DictConfig):
                    walk(part[name], f"{dotted}.")

        walk(node, "")


def describe(schema: type, prefix: str = "") -> list[tuple[str, Field[Any]]]:
    """Every key of the schema in order, as (dotted name, dataclass field)."""
    rows: list[tuple[str, Field[Any]]] = []
    for item in fields(schema):
        nested = item.default_factory
        if nested is not MISSING and is_dataclass(nested):
            rows += describe(nested, f"{prefix}{item.name}.")
        else:
            rows.append((prefix + item.name, item))
    return rows


def to_yaml(config: Any) -> str:
    """The configuration as YAML, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def read_plain(path: Path) -> DictConfig:
    """A stored configuration of any kind as it stands, unchecked but for being harmless.

    Raises:
        UserError: the file is missing, is not YAML, or holds more than plain values.
    """
    try:
        text = path.read_text()
        _check_plain(text)
        node = OmegaConf.load(io.StringIO(text))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run folder of rmc-rl") from None
    except UserError as error:
        raise UserError(f"{path} holds {error}; a stored configuration has plain values only") from None
    except Exception as error:
        what = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read as YAML: {what}") from error
    if not isinstance(node, DictConfig):
        raise UserError(f"{path} does not hold a configuration of rmc-rl")
    return node


def changes(old: Any, new: Any) -> list[str]:
    """What differs, as ``key: old -> new`` lines."""
    before, after = _flat(OmegaConf.structured(old)), _flat(OmegaConf.structured(new))
    keys = list(dict.fromkeys([*before, *after]))
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if before.get(key, MISSING) != after.get(key, MISSING)
    ]


def known_keys(node: DictConfig) -> list[str]:
    """Every dotted key of a composed configuration, sections included."""
    return list(_flat(node, sections=True))


def _flat(node: DictConfig, prefix: str = "", sections: bool = False) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in map(str, node):
        key = f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            flat[key] = REQUIRED
            continue
        value = node[name]
        if isinstance(value, DictConfig):
            if sections:
                flat[key] = value
            flat |= _flat(value, f"{key}.", sections)
        else:
            flat[key] = value
    return flat


def _check_plain(text: str) -> None:
    """Refuse what a written configuration never holds and a forged one could do harm with."""
    if "${" in text:
        raise UserError("an interpolation ('${…}')")  # it could read the environment
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > 50:
            raise UserError("more than 50 levels")
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"an alias ('*{event.anchor}')")  # a few of them unfold to more than memory holds
        if tag := getattr(event, "tag", None):
            raise UserError(f"a tag ('{tag}')")  # it asks for an object of some class


def _check_limits(config: Any) -> None:
    """Every value against its key's limits."""
    for name, item in describe(type(config)):
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        limits = item.metadata
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value) and not (limits["may_be_infinite"] and value > 0):
            raise UserError(f"{name}={value} is not a finite number")
        if limits["choices"] and value not in limits["choices"]:
            raise UserError(f"{name}={value} is not known: {nearest(str(value), limits['choices'])}")
        if limits["minimum"] is not None and value < limits["minimum"]:
            raise UserError(f"{name}={value} is too small: at least {limits['minimum']}")
        if limits["maximum"] is not None and value > limits["maximum"]:
            raise UserError(f"{name}={value} is too large: at most {limits['maximum']}")
        if limits["above"] is not None and not value > limits["above"]:
            raise UserError(f"{name}={value} is too small: above {limits['above']}")


def _quoted(text: str) -> str:
    """A string in Hydra's override grammar, whatever characters it holds."""
    # A backslash is literal there, except before the quote or as the last character.
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _explain(error: Exception) -> str:
    """Hydra and OmegaConf say what is wrong in the first lines of the innermost message."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    key = getattr(error, "full_key", None)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{key}: {first}" if key and key not in first else first
