"""The verb ``python -m rmc_rl.supervised``: train a memory core on one of the paper's supervised tasks."""

from __future__ import annotations

from rmc_rl.supervised.config import SUPERVISED, SupervisedConfig
from rmc_rl.training_verb import TrainingVerb

USAGE = """\
Train a memory core on one of the supervised tasks of the paper.

  python -m rmc_rl.supervised                                     Nth Farthest with 4 vectors of 8 numbers
  python -m rmc_rl.supervised task=copy core=lstm                 another task, another memory
  python -m rmc_rl.supervised experiment=paper-nth-farthest-rmc   the paper's settings
  python -m rmc_rl.supervised total_steps=2000 seed=1             any key below, as key=value
  python -m rmc_rl.supervised resume=latest                       go on with the newest run
  python -m rmc_rl.supervised --multirun core=rmc,lstm seed=0,1   one run for each combination

Options:
  -h, --help          this page
  -m, --multirun      a run for each combination of comma-separated values
  --config-dir DIR    a folder with your own task/, core/, experiment/ … YAML files
  --cfg job           print the configuration and leave
"""


def _train(config: SupervisedConfig | list[str], extra_dir: str | None) -> bool:
    from rmc_rl.supervised.trainer import train

    return train(config, extra_dir=extra_dir).finished


main = TrainingVerb("supervised", USAGE, SUPERVISED, _train).main

if __name__ == "__main__":
    main()
