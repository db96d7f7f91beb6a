"""``python -m rmc_rl.rllib env=minipacman-viewport algorithm=impala``: train our agent with RLlib's own algorithms.

What else can be typed: the keys of ``python -m rmc_rl.train --help`` that mean something to RLlib, and RLlib's own
settings, as in ``rllib.clip_param=0.1``; ``--config-dir DIR`` adds a folder with YAML files of your own. The run folder
is one that ``rmc_rl.evaluate`` and ``rmc_rl.watch`` read; ``run=<folder>`` starts from the weights of any run, with its
configuration. Ctrl-C saves and stops.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from rmc_rl.config import TRAIN, make_config
from rmc_rl.errors import UserError, nearest, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.overrides import groups, overridden, parse_overrides
from rmc_rl.policy import load
from rmc_rl.rllib.algorithm import ALGORITHMS, meaningful
from rmc_rl.rllib.training import train

SETTING = "rllib."
"""What a setting of RLlib's own begins with."""


@dataclass
class RllibOptions:
    """Options of the verb, beside the configuration's keys."""

    algorithm: str = option("impala", "RLlib's algorithm", choices=tuple(ALGORITHMS))
    run: str | None = option(None, "a run folder, or 'latest', to start from; null: initial weights")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in that run's checkpoints")


class Typed(NamedTuple):
    """What was typed."""

    options: RllibOptions
    settings: dict[str, Any]
    """RLlib's own."""
    words: list[str]
    """Of the configuration."""
    extra_dir: str | None
    """A folder with more YAML files."""


def read_words(words: Sequence[str]) -> Typed:
    """Tell the verb's own words, RLlib's settings and the configuration's words apart.

    Raises:
        UserError: a word that cannot be read, or an option of the verb with a value it cannot have.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog="python -m rmc_rl.rllib")
    parser.add_argument("-cd", "--config-dir")
    flags, rest = parser.parse_known_args(words)
    own = {item.name for item in fields(RllibOptions)}
    mine = [word for word in rest if word.partition("=")[0] in own or word.startswith("-")]
    options = parse_options(RllibOptions, mine, __doc__ or "")
    known = own | {name.partition(".")[0] for name, _ in TRAIN.describe()} | set(groups(TRAIN, flags.config_dir))
    settings, others = {}, []
    for override in parse_overrides([word for word in rest if word not in mine]):
        key = override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"'{override.input_line}' names several values: RLlib trains one run at a time")
        if key.startswith(SETTING):
            settings[key.removeprefix(SETTING)] = override.value()
        elif "." not in key and key not in known:
            raise UserError(f"unknown key '{key}': {nearest(key, known)}")
        else:
            others.append(str(override.input_line))
    return Typed(options, settings, others, flags.config_dir)


def check_meaning(words: Sequence[str], algorithm: str) -> None:
    """Name the first known key or group that RLlib would not heed.

    Raises:
        UserError: as said.
    """
    heeded = meaningful(algorithm)
    for override in parse_overrides(words):
        if override.key_or_group == "resume":
            raise UserError(
                "a run cannot be resumed by RLlib: run=<folder> starts a new one from its weights, and "
                "rmc_rl.train resume=<folder> goes on with it"
            )
        if not override.key_or_group.startswith(heeded):
            raise UserError(
                f"{override.key_or_group} means nothing to RLlib's {algorithm}, which has settings of its own "
                f"({SETTING}<setting>=<value>); it heeds {', '.join(heeded)}"
            )


@reports_user_errors
def main() -> None:
    """Read what was typed, and train."""
    options, settings, words, extra_dir = read_words(sys.argv[1:])
    if options.run is None:
        policy, config = None, make_config(*words, extra_dir=extra_dir)
    else:
        typed = {override.key_or_group: override.value() for override in parse_overrides(words)}
        policy = load(options.run, options.checkpoint, str(typed.get("runs_dir", TRAIN.compose([]).runs_dir)))
        config = overridden(policy.config, words, TRAIN, extra_dir)
    check_meaning(words, options.algorithm)
    train(config, options.algorithm, policy=policy, settings=settings)


if __name__ == "__main__":
    main()
