"""The verb ``python -m rmc_rl.train``: train an agent."""

from __future__ import annotations

from rmc_rl.config import TRAIN, Config
from rmc_rl.training_verb import TrainingVerb

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


def _train(config: Config | list[str], extra_dir: str | None) -> bool:
    from rmc_rl.trainer import train  # torch is imported only when a run really starts

    return train(config, extra_dir=extra_dir).finished


main = TrainingVerb("train", USAGE, TRAIN, _train).main
