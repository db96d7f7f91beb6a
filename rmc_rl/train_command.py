"""The verb ``python -m rmc_rl.train``: train an agent.

Hydra composes the configuration and runs sweeps (``--multirun``); what was typed is checked first, so that a misspelt
word is named with its nearest neighbours.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from rmc_rl.config import TRAIN, Config, make_config
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import shown
from rmc_rl.overrides import check_overrides, groups, parse_overrides, resume_words, whole_numbers
from rmc_rl.paths import config_dir

USAGE = """\
Train a reinforcement-learning agent whose memory is a Relational Memory Core.

  python -m rmc_rl.train                                      Mini Pacman through a 5x5 viewport
  python -m rmc_rl.train env=repeat-first core=lstm           another game, another memory
  python -m rmc_rl.train total_steps=2e6 seed=1 engine=inline any key below, as key=value
  python -m rmc_rl.train resume=latest                        go on with the newest run
  python -m rmc_rl.train --multirun seed=0,1,2                one run for each value

Options:
  -h, --help          this page
  -m, --multirun      a run for each combination of comma-separated values
  --config-dir DIR    a folder with your own env/, core/, experiment/ … YAML files
  --cfg job           print the configuration and leave
"""


@reports_user_errors
def main() -> None:
    """Check what was typed, then train; Hydra takes over where there are several runs."""
    flags, overrides = _flags().parse_known_args(sys.argv[1:])
    unknown = [word for word in overrides if word.startswith("-")]
    if unknown:
        raise UserError(f"unknown option '{unknown[0]}' (--help lists the options)")
    if flags.help:
        print_help()
        return
    words, extra_dir = whole_numbers(overrides, TRAIN), flags.config_dir
    if resume_words(words) is not None:
        if flags.multirun or flags.cfg:
            raise UserError("resume goes on with one run: it goes with neither --multirun nor --cfg")
        _train(words, extra_dir)
        return
    check_overrides(words, TRAIN, extra_dir)
    if flags.multirun:
        words = _with_group(words)
    if flags.multirun or flags.cfg:
        for_hydra = {"--multirun": flags.multirun, "--cfg": flags.cfg, "--config-dir": extra_dir}
        sys.argv[1:] = words
        for flag, value in for_hydra.items():
            if value:
                sys.argv += [flag] if value is True else [flag, value]
        _extra_dir.append(extra_dir)
        _sweep()
        return
    swept = [word for word in words if parse_overrides([word])[0].is_sweep_override()]
    if swept:
        raise UserError(f"'{swept[0]}' names several values: --multirun runs each of them")
    _train(make_config(*words, extra_dir=extra_dir))


_extra_dir: list[str | None] = []


@hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
@reports_user_errors
def _sweep(composed: DictConfig) -> None:
    """One job of a sweep, called by Hydra, which has split the words."""
    from hydra.core.hydra_config import HydraConfig

    if not _train(list(HydraConfig.get().overrides.task), _extra_dir[-1]):
        raise UserError("the sweep was stopped: its other runs were not started")


def _with_group(words: list[str]) -> list[str]:
    """A sweep's words with the group that all its runs belong to: what was typed, or today's date and time."""
    typed = [override for override in parse_overrides(words) if override.key_or_group == "group"]
    if any(override.is_sweep_override() for override in typed):
        raise UserError(f"'{typed[-1].input_line}' names several groups: a sweep has one, for all its runs")
    if typed and typed[-1].value() is not None:
        return words
    return [*words, f"group={datetime.now():%Y-%m-%d_%H-%M-%S}"]


def _train(config: Config | list[str], extra_dir: str | None = None) -> bool:
    """Whether the run was finished."""
    from rmc_rl.trainer import train  # torch is imported only when a run really starts

    return train(config, extra_dir=extra_dir).finished


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog="python -m rmc_rl.train")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    return parser


def print_help() -> None:
    """What can be typed, with the shipped values."""
    console = Console(highlight=False)
    console.print(USAGE, markup=False, soft_wrap=True)
    chosen = Table.grid(padding=(0, 2))
    for name, options in groups(TRAIN).items():
        chosen.add_row(f"  {name}=", ", ".join(options))
    console.print("Choices:", chosen, "", "Keys, with their shipped values:", sep="\n")
    defaults = TRAIN.compose([])
    section = ""
    for key, item in TRAIN.describe():
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
