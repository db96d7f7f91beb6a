"""The model card: what an agent is, what made it, how good it is and what it cannot do, all told by its folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rmc_rl.checkpoint import STATE, WEIGHTS, load_checkpoint
from rmc_rl.config import read_config
from rmc_rl.curves.axes import duration
from rmc_rl.evaluate import MODES
from rmc_rl.progress import Progress
from rmc_rl.run_folder import typed_command
from rmc_rl.seeds import EVALUATION_SEEDS

CARD, CONFIG, EVALUATION, VERSIONS = "README.md", "config.yaml", "evaluation.json", "versions.json"


def model_card(folder: Path, name: str, licence: str) -> str:
    """The page about an agent, in Markdown.

    Args:
        folder: the agent's, but for the page complete.
        name: of the agent.
        licence: under which it is passed on.

    Raises:
        UserError: the configuration or the weights cannot be read.
    """
    config = read_config(folder / CONFIG)
    state, info = load_checkpoint(folder / WEIGHTS)
    progress = Progress.from_json(info, folder / WEIGHTS)
    versions = json.loads((folder / VERSIONS).read_text())
    found = json.loads((folder / EVALUATION).read_text())
    weights = state["learner"]["agent"].values()
    raw = (folder / WEIGHTS / STATE).read_bytes()
    game, core = config.env, dict(config.core)
    evaluation = f"episodes={found['episodes']}" + _unless(EVALUATION_SEEDS, seed=found["seed"])
    rows = {
        "plays": f"`{game.id}`{_settings({**game.kwargs, 'wrappers': game.wrappers or None})}",
        "memory": f"`{core.pop('name')}`{_settings(core)}",
        "size": f"{sum(array.size for array in weights):,} numbers, {len(raw) / 1e6:.1f} MB of safetensors",
        "sha256": f"`{hashlib.sha256(raw).hexdigest()}`",
        "training": f"{progress.steps:,} environment steps in {duration(progress.seconds)}, seed {config.seed}",
        "command": f"`{typed_command(versions)}`",
        "commit": f"`{versions.get('commit') or 'not known'}`",
        "machine": _machine(versions),
        "evaluation": f"`python -m rmc_rl.evaluate pretrained={name} {evaluation}`",
        **{f"mean return, {mode} actions": _score(found, mode) for mode in MODES},
        "licence": licence,
    }
    table = "\n".join(f"| {head} | {text} |" for head, text in rows.items())
    return f"""# {name}

An agent trained with rmc-rl. `python -m rmc_rl.watch pretrained={name}` shows it where it comes with the package;
elsewhere `run=` with the path of this folder does.

| | |
| --- | --- |
{table}

## Limits

- It learnt this environment with these settings; in others it was not tried.
- It is one run with one seed. The interval is over episodes and says nothing about other seeds.
- The weights are all there is: it can be played, evaluated and exported, but its training cannot be gone on with.
- Its evaluation begins at seed {found["seed"]}; training never plays a seed from {EVALUATION_SEEDS} on.
"""


def _settings(values: Any) -> str:
    shown = ", ".join(f"{name} {json.dumps(value)}" for name, value in values.items() if value is not None)
    return f" ({shown})" if shown else ""


def _unless(usual: int, **given: int) -> str:
    return "".join(f" {name}={value}" for name, value in given.items() if value != usual)


def _machine(versions: dict[str, Any]) -> str:
    named = [str(versions[name]) for name in ("processor", "gpu") if versions.get(name)]
    cores = [f"{versions['cores']} cores"] if versions.get("cores") else []
    programs = [f"{name} {versions[name]}" for name in ("python", "torch") if versions.get(name)]
    return ", ".join([*cores, *named, *programs])


def _score(found: dict[str, Any], mode: str) -> str:
    margin = found[f"ci95_return_{mode}"]
    interval = "" if margin is None else f" ± {margin:.1f} (95 % of the mean)"
    return (
        f"**{found[f'mean_return_{mode}']:.1f}**{interval}, median {found[f'median_return_{mode}']:.1f}, over "
        f"{found['episodes']} fresh episodes of {found[f'mean_length_{mode}']:.0f} steps in the mean"
    )
