"""The verb ``python -m rmc_rl.train``: train an agent.

Hydra composes the configuration and runs sweeps (``--multirun``); what was typed is checked first, so that a misspelt
word is named with its nearest neighbours.
"""

from __future__ import annotations

import argparse
import sys

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from rmc_rl.config import compose_config, describe, to_config
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import shown
from rmc_rl.overrides import check_overrides, groups, whole_numbers
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
    """Check what was typed, then hand over to Hydra."""
    flags, overrides = _flags().parse_known_args(sys.argv[1:])
    unknown = [word for word in overrides if word.startswith("-")]
    if unknown:
        raise UserError(f"unknown option '{unknown[0]}' (--help lists the options)")
    if flags.help:
        print_help()
        return
    overrides = whole_numbers(overrides)
    extra_dir = flags.config_dir
    check_overrides(overrides, extra_dir)
    if not flags.multirun:
        swept = [word for word in overrides if _is_sweep(word)]
        if swept:
            raise UserError(f"'{swept[0]}' names several values: --multirun runs each of them")
        to_config(compose_config(overrides, extra_dir))
    _extra_dir.append(extra_dir)
    for_hydra = {"--multirun": flags.multirun, "--cfg": flags.cfg, "--config-dir": extra_dir}
    sys.argv[1:] = overrides
    for flag, value in for_hydra.items():
        if value:
            sys.argv += [flag] if value is True else [flag, value]
    _hydra_main()


_extra_dir: list[str | None] = []


@hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
@reports_user_errors
def _hydra_main(composed: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from rmc_rl.trainer import train  # torch is imported only when a run really starts

    # The words, not the composed values, because a resumed run takes over only what was typed.
    train(list(HydraConfig.get().overrides.task), extra_dir=_extra_dir[-1])


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
    for name, options in groups().items():
        chosen.add_row(f"  {name}=", ", ".join(options))
    console.print("Choices:", chosen, "", "Keys, with their shipped values:", sep="\n")
    defaults = compose_config([])
    section = ""
    for key, item in describe():
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


def _is_sweep(word: str) -> bool:
    from rmc_rl.overrides import parse_overrides

    return parse_overrides([word])[0].is_sweep_override()
