"""``python -m rmc_rl.pretrained``: list the agents that come with the package, or make one to pass on of a run.

``run=latest folder=my-agent`` writes a folder with the run's weights (without what only training needs), its
configuration and curve, an evaluation played for it, and a model card that tells all this. Whoever gets the folder
plays it with ``run=<folder>``. One made as ``folder=rmc_rl/pretrained/<name>`` in a checkout comes with the package:
``pretrained=<name>``.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from rmc_rl.checkpoint import STATE, WEIGHTS, save_checkpoint
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.evaluate import MODES, evaluate_modes
from rmc_rl.options import option, parse_options
from rmc_rl.policy import Policy, load
from rmc_rl.pretrained import HERE, pretrained_names
from rmc_rl.pretrained.card import CARD, CONFIG, EVALUATION, VERSIONS, model_card
from rmc_rl.run_folder import typed_command
from rmc_rl.schema import to_yaml
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.weights import get_weights

METRICS = "metrics.csv"


@dataclass
class PretrainedOptions:
    """Options of the verb."""

    run: str = option("latest", "a run folder, or 'latest'")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in the run's checkpoints")
    folder: str | None = option(None, "what to write, a new folder, called as the agent; null: list those there are")
    episodes: int = option(200, "episodes of its evaluation in each mode", minimum=2)
    licence: str = option("Apache-2.0", "under which the agent is passed on")
    trust: bool = option(False, "allow the run to name modules that will be imported: their code is run")
    runs_dir: str = option("runs", "where run folders are")


@reports_user_errors
def main() -> None:
    """List or make agents."""
    options = parse_options(PretrainedOptions, sys.argv[1:], __doc__ or "")
    if options.folder is not None:
        policy = load(options.run, options.checkpoint, options.runs_dir, trust=options.trust)
        folder = Path(options.folder)
        make(policy, folder, episodes=options.episodes, licence=options.licence, trust=options.trust)
        size = (folder / WEIGHTS / STATE).stat().st_size
        print(f"{folder}: {size / 1e6:.1f} MB of weights, {folder / CARD} tells about them")
    elif options != PretrainedOptions():
        raise UserError("folder: none given; where the agent is to be written is needed, as in folder=my-agent")
    else:
        for name in pretrained_names():
            print(describe(name))


def describe(name: str) -> str:
    """A line about an agent of the package."""
    found = json.loads((HERE / name / EVALUATION).read_text())
    mean, margin = found["mean_return_sampled"], found["ci95_return_sampled"]
    return f"{name}: return {mean:.1f} ± {margin:.1f} after {found['steps']:,} steps; {HERE / name / CARD}"


def make(policy: Policy, folder: Path, *, episodes: int, licence: str, trust: bool = False) -> None:
    """Write the folder of an agent, evaluated afresh; it appears under its name when it is complete.

    Args:
        policy: whose agent.
        folder: a new one; its name is the agent's.
        episodes: of the evaluation in each mode.
        licence: under which it is passed on.
        trust: whether the environment id may name a module.

    Raises:
        UserError: the folder is there already or cannot be written, or the environment cannot be played.
    """
    name = folder.resolve().name
    if folder.exists():
        raise UserError(f"folder={folder} is there already: remove it, or name another")
    for file in (VERSIONS, METRICS):
        if not (policy.run / file).is_file():
            raise UserError(f"the run folder {policy.run} holds no {file}, which an agent to pass on brings along")
    versions = _versions(policy.run)
    result = evaluate_modes(policy, MODES, episodes, EVALUATION_SEEDS, Console(stderr=True), trust=trust)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as place:
            part = Path(place) / name
            part.mkdir()
            save_checkpoint(part, WEIGHTS, {"learner": {"agent": get_weights(policy.agent)}}, policy.progress.to_json())
            # Where its runs lay, and whom they were reported to, concern nobody else.
            config = replace(policy.config, runs_dir="runs", group=None, wandb=None)
            (part / CONFIG).write_text(to_yaml(config))
            (part / EVALUATION).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
            (part / VERSIONS).write_text(json.dumps(versions, indent=2) + "\n")
            shutil.copy(policy.run / METRICS, part / METRICS)
            (part / CARD).write_text(model_card(part, name, licence))
            part.rename(folder)
    except OSError as error:
        raise UserError(f"folder={folder} cannot be written: {error.strerror or error}") from error


def _versions(run: Path) -> dict[str, Any]:
    """What trained it; the command without the folders of the machine that ran it."""
    try:
        found = json.loads((run / VERSIONS).read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{run / VERSIONS} does not hold a JSON object: it was damaged, make the agent of another run")
    return found | {"command": shlex.split(typed_command(found))}


if __name__ == "__main__":
    main()
