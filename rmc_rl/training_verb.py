"""A verb that trains: what was typed after it is checked, then a run is made, or several.

Hydra composes the configuration and runs sweeps (``--multirun``); what was typed is checked first, so that a misspelt
word is named with its nearest neighbours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import shown
from rmc_rl.overrides import check_overrides, groups, parse_overrides, resume_words, whole_numbers
from rmc_rl.paths import config_dir
from rmc_rl.schema import Schema


@dataclass(frozen=True)
class TrainingVerb:
    """``python -m rmc_rl.<name>``.

    Attributes:
        name: of the verb.
        usage: the beginning of its help.
        schema: its kind of configuration.
        train: makes one run of a configuration, or of words and the user's configuration folder; whether it finished.
    """

    name: str
    usage: str
    schema: Schema[Any]
    train: Callable[[Any, str | None], bool]

    @reports_user_errors
    def main(self) -> None:
        """Check what was typed, then train; Hydra takes over where there are several runs."""
        flags, overrides = self._flags().parse_known_args(sys.argv[1:])
        unknown = [word for word in overrides if word.startswith("-")]
        if unknown:
            raise UserError(f"unknown option '{unknown[0]}' (--help lists the options)")
        if flags.help:
            self.print_help()
            return
        words, extra_dir = whole_numbers(overrides, self.schema), flags.config_dir
        if resume_words(words) is not None:
            if flags.multirun or flags.cfg:
                raise UserError("resume goes on with one run: it goes with neither --multirun nor --cfg")
            self.train(words, extra_dir)
            return
        check_overrides(words, self.schema, extra_dir)
        if flags.multirun:
            words = with_group(words)
        if flags.multirun or flags.cfg:
            for_hydra = {"--multirun": flags.multirun, "--cfg": flags.cfg, "--config-dir": extra_dir}
            sys.argv[1:] = [*words, *self.schema.search_path()]
            for flag, value in for_hydra.items():
                if value:
                    sys.argv += [flag] if value is True else [flag, value]
            self._sweep(extra_dir)
            return
        swept = [word for word in words if parse_overrides([word])[0].is_sweep_override()]
        if swept:
            raise UserError(f"'{swept[0]}' names several values: --multirun runs each of them")
        self.train(self.schema.make(*words, extra_dir=extra_dir), None)

    def _sweep(self, extra_dir: str | None) -> None:
        file = config_dir() / self.schema.file

        @hydra.main(config_path=str(file.parent), config_name=file.name, version_base="1.3")
        @reports_user_errors
        def job(composed: DictConfig) -> None:
            """One job of a sweep, called by Hydra, which has split the words."""
            from hydra.core.hydra_config import HydraConfig

            if not self.train(list(HydraConfig.get().overrides.task), extra_dir):
                raise UserError("the sweep was stopped: its other runs were not started")

        job()

    def _flags(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog=f"python -m rmc_rl.{self.name}")
        parser.add_argument("-h", "--help", action="store_true")
        parser.add_argument("-m", "--multirun", action="store_true")
        parser.add_argument("-cd", "--config-dir")
        parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
        return parser

    def print_help(self) -> None:
        """What can be typed, with the shipped values."""
        console = Console(highlight=False)
        console.print(self.usage, markup=False, soft_wrap=True)
        chosen = Table.grid(padding=(0, 2))
        for name, options in groups(self.schema).items():
            chosen.add_row(f"  {name}=", ", ".join(options))
        console.print("Choices:", chosen, "", "Keys, with their shipped values:", sep="\n")
        defaults = self.schema.compose([])
        section = ""
        for key, item in self.schema.describe():
            value = defaults
            for part in key.split("."):
                value = value[part]
            head = key.rpartition(".")[0]
            if head != section:
                console.print()
                section = head
            choices = item.metadata["choices"]
            meaning = item.metadata["meaning"] + (f" ({', '.join(choices)})" if choices else "")
            if isinstance(value, DictConfig):
                rows = [f"{key}.{name!s}={shown(part)}" for name, part in value.items()] or [f"{key}={{}}"]
            else:
                rows = [f"{key}={shown(value)}"]
            console.print(*(f"  {row}" for row in rows), sep="\n", soft_wrap=True)
            console.print(f"      {meaning}", style="dim", soft_wrap=True)


def with_group(words: list[str]) -> list[str]:
    """A sweep's words with the group that all its runs belong to: what was typed, or today's date and time."""
    typed = [override for override in parse_overrides(words) if override.key_or_group == "group"]
    if any(override.is_sweep_override() for override in typed):
        raise UserError(f"'{typed[-1].input_line}' names several groups: a sweep has one, for all its runs")
    if typed and typed[-1].value() is not None:
        return words
    others = [word for word in words if word.partition("=")[0] != "group"]
    return [*others, f"group={datetime.now():%Y-%m-%d_%H-%M-%S}"]
