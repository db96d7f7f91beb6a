"""Which runs are seeds of one setting, and what a setting is called beside others: by what differs, nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmc_rl.curves.kinds import Kind
from rmc_rl.curves.runs import Run
from rmc_rl.options import shown

NOT_A_SETTING = ("seed", "group", "runs_dir", "resume", "wandb", "profile", "trust")
NOT_SETTINGS = ("checkpoint.", "log.")
"""Keys and sections that do not change what a run learns or how fast."""

ABSENT = "absent"


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed only.

    Attributes:
        label: what it has that other settings have not, as it is typed: ``core=lstm learner.learning_rate=1e-3``.
        runs: by seed.
        settings: the configuration they share, without what is no setting.
        distinctions: the part of it that the label tells.
    """

    label: str
    runs: list[Run]
    settings: dict[str, Any]
    distinctions: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """What is drawn of its runs."""
        return self.runs[0].kind


def by_environment(runs: Sequence[Run]) -> dict[str, list[Setting]]:
    """The settings of each environment: returns of different games do not belong on one axis."""
    names = sorted({run.environment for run in runs})
    return {name: by_setting([run for run in runs if run.environment == name]) for name in names}


def by_setting(runs: Sequence[Run]) -> list[Setting]:
    """Put seeds together; settings in the order of what they differ in."""
    groups: list[tuple[dict[str, Any], list[Run]]] = []
    for run in runs:
        settings = {key: value for key, value in run.settings.items() if _is_setting(key)}
        members = next((members for known, members in groups if known == settings), None)
        if members is None:
            groups.append((settings, [run]))
        else:
            members.append(run)
    own = distinctions([settings for settings, _ in groups])
    found = [
        Setting(_label(words, settings), sorted(members, key=_seed), settings, words)
        for (settings, members), words in zip(groups, own, strict=True)
    ]
    keys = list(dict.fromkeys(key for words in own for key in words))
    return sorted(found, key=lambda setting: [_order(setting.distinctions.get(key)) for key in keys])


def distinctions(settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each configuration has that another has not: its keys that differ, with its values.

    Choosing another core changes every key of its section. The name alone says that; another key of such a section
    counts where it differs among those that chose alike.
    """
    keys = list(dict.fromkeys(key for one in settings for key in one))
    own: list[dict[str, Any]] = [{} for _ in settings]
    for key in keys:
        chosen = _choice(key)
        for words, one in zip(own, settings, strict=True):
            alike = [other for other in settings if chosen is None or other.get(chosen) == one.get(chosen)]
            if any(other.get(key, ABSENT) != one.get(key, ABSENT) for other in alike):
                words[key] = one.get(key, ABSENT)
    return own


def typed(value: Any) -> str:
    """A value as one would type it, a number as short as can be: 1e-3 for 0.001, 2e6 for 2000000."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or (isinstance(value, int) and abs(value) < 100_000):
        return shown(value)
    digits, _, exponent = f"{value:e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return short if len(short) < len(repr(value)) and float(short) == value else repr(value)


def short_key(key: str) -> str:
    """``core`` for ``core.name``: a choice is typed by its section."""
    return key.removesuffix(".name")


def _is_setting(key: str) -> bool:
    return key not in NOT_A_SETTING and not key.startswith(NOT_SETTINGS)


def _choice(key: str) -> str | None:
    """The key that names a choice for the section of `key`: ``core.name`` of ``core.mem_slots``."""
    section, dot, name = key.partition(".")
    return f"{section}.name" if dot and name != "name" else None


def _label(words: dict[str, Any], settings: dict[str, Any]) -> str:
    words = words or {"core.name": settings.get("core.name", ABSENT)}  # the only setting
    return " ".join(f"{short_key(key)}={typed(value)}" for key, value in words.items())


def _seed(run: Run) -> tuple[Any, ...]:
    return (_order(run.settings.get("seed")), run.name)


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before words by the alphabet."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), "")
    return (1, 0.0, typed(value))
