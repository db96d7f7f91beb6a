"""Training by RLlib, from a configuration to a run folder.

RLlib owns the loop from games to weights. What is around it is ours: Ray started for one run alone, the budget, lines
of metrics, checkpoints in our own format, a clean end.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    WEIGHTS_SEQ_NO,
)
from ray.tune.trainable import trainable

from rmc_rl.building import build_agent, learner_device, prepare_process
from rmc_rl.checkpoint import checkpoint_name, save_checkpoint
from rmc_rl.config import Config
from rmc_rl.display import Display, LastingDisplay, make_display
from rmc_rl.engines.ray_processes import make_temporary_folder, start_ray, stop_ray
from rmc_rl.engines.shares import share_cores
from rmc_rl.environment import interface_of
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.loop import Loop, stop_on_signals
from rmc_rl.metrics import GLOSSARY, Writer, make_writers
from rmc_rl.policy import Policy
from rmc_rl.progress import Progress
from rmc_rl.rllib.algorithm import LENGTHS, RETURNS, agent_weights, algorithm_config
from rmc_rl.run_folder import RunFolder, command, create_run_folder
from rmc_rl.spaces import Interface
from rmc_rl.trainer import TrainingResult, farewell
from rmc_rl.weights import get_weights, load_weights

FIGURES = {
    "entropy": "entropy",
    "grad_norm": "gradients_default_optimizer_global_norm",
    "learning_rate": "default_optimizer_learning_rate",
    "entropy_cost": "curr_entropy_coeff",
}
"""Our names of figures and RLlib's."""
LOSSES = {
    "impala": ("mean_pi_loss", "mean_vf_loss", 1.0),
    "appo": ("policy_loss", "vf_loss", 1.0),
    "ppo": ("policy_loss", "vf_loss_unclipped", 0.5),
}
"""Each algorithm's names of the policy's and the value's loss, and how much of the latter is half the squared error."""


def train(
    config: Config,
    algorithm: str = "impala",
    *,
    policy: Policy | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train our agent by one of RLlib's algorithms, on a Ray that is started for it and stopped with it.

    Args:
        config: which keys mean something says `rmc_rl.rllib.algorithm.meaningful`.
        algorithm: ``impala``, ``appo`` or ``ppo``.
        policy: a trained agent to begin with; None: initial weights.
        settings: RLlib's own, as its ``training()`` takes them; they win over the configuration.

    Raises:
        UserError: bad input, or something that stopped the run; what was learnt is in its last checkpoint.
    """
    weights = None if policy is None else get_weights(policy.agent)
    found = _check(config, weights)
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)  # it announces what it is and warns of its own calls
    setup = algorithm_config(algorithm, config, found, weights=weights, settings=settings)
    origin = {"algorithm": algorithm, "ray": ray.__version__, "start": None if policy is None else str(policy.run)}
    count = _Count(found, algorithm=algorithm, origin=origin)
    display = LastingDisplay(make_display(config))
    folder = create_run_folder(config)
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        stack.callback(folder.close)
        title = f"{config.env.name} · {config.core['name']} · RLlib's {algorithm} · {folder.path}"
        display.start(title, config.total_steps, 0)
        stack.callback(display.stop)
        if policy is not None:
            display.say(f"starting from {policy.run} after {policy.progress.steps:,} steps")
        writers = make_writers(config, folder.path, 0)
        for writer in writers:
            stack.callback(writer.close)
        temporary = make_temporary_folder()
        stack.callback(stop_ray, temporary)
        runners, threads = share_cores(config, learner_device(config))
        prepare_process(threads)
        start_ray(config, runners, threads, temporary)
        with _errors_of_rllib(Path(temporary), folder.path), _results_in(temporary):
            trained = setup.build_algo()
        stack.callback(trained.stop)
        with _errors_of_rllib(Path(temporary), folder.path):
            finished = _loop(config, folder, trained, count, display, writers).run(stop)
        result = TrainingResult(folder.path, count.steps, count.episodes.return_mean, finished)
    display.say(_farewell(result, algorithm))
    return result


def save_agent(config: Config, interface: Interface, weights: Mapping[str, np.ndarray], *, steps: int = 0) -> Path:
    """Make a run folder that `rmc_rl.load`, `rmc_rl.evaluate` and `rmc_rl.watch` read.

    Args:
        config: what the agent was trained with; environment, core and agent must be right.
        interface: the environment's.
        weights: from `agent_weights`.
        steps: environment steps it was trained for.

    Raises:
        UserError: the weights are not those of this configuration's agent, or the folder cannot be made.
    """
    load_weights(build_agent(config, interface), weights)
    folder = create_run_folder(config)
    try:
        progress = Progress(interface, steps=steps)
        save_checkpoint(folder.checkpoints, checkpoint_name(steps), _state(weights, progress), progress.to_json())
    except OSError as error:
        raise UserError(f"the agent could not be saved in {folder.path}: {error}") from error
    finally:
        folder.close()
    return folder.path


def _check(config: Config, weights: Mapping[str, np.ndarray] | None) -> Interface:
    """Make environment and agent once before anything is started or written, so that bad input costs nothing."""
    found = interface_of(config.env, trust=config.trust)
    agent = build_agent(config, found)
    if weights is not None:
        load_weights(agent, weights)
    return found


@contextlib.contextmanager
def _results_in(folder: str) -> Iterator[None]:
    """RLlib makes a folder for results, empty here, in the home directory; it has no setting for it."""
    internals: Any = trainable
    place = getattr(internals, "DEFAULT_STORAGE_PATH", None)
    internals.DEFAULT_STORAGE_PATH = folder
    try:
        yield
    finally:
        internals.DEFAULT_STORAGE_PATH = place


@contextlib.contextmanager
def _errors_of_rllib(temporary: Path, run: Path) -> Iterator[None]:
    """One message, and what Ray's processes said of errors kept in the run folder: the driver is not told."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        first = str(cause).partition("\n")[0]  # Ray goes on with what it knows of the process
        logs = [path.read_text(errors="replace") for path in sorted(temporary.glob("session_latest/logs/worker-*.err"))]
        said = ""
        if errors := [text for text in logs if "Traceback" in text]:
            with contextlib.suppress(OSError):
                (run / "rllib-errors.txt").write_text("\n".join(errors))
                said = f" (what its processes said is in {run / 'rllib-errors.txt'})"
        raise UserError(f"RLlib failed: {type(cause).__name__}: {first}{said}") from error


def _loop(
    config: Config, folder: RunFolder, trained: Any, count: _Count, display: Display, writers: Sequence[Writer]
) -> Loop:
    return Loop(
        budget=config.total_steps,
        log_every=config.log.every_steps,
        checkpoint=config.checkpoint,
        folder=folder,
        learning=_Learning(trained, count),
        count=count,
        display=display,
        writers=writers,
    )


class _Learning:
    """RLlib's algorithm as our loop calls it; a call is about one batch."""

    def __init__(self, trained: Algorithm, count: _Count) -> None:
        self._trained, self._count = trained, count

    def update(self) -> Mapping[str, Any]:
        """What RLlib reports of a call."""
        return self._trained.train()

    def get_state(self) -> dict[str, Any]:
        """The weights.

        Raises:
            NonFiniteLossError: they are not numbers any more; RLlib does not look.
        """
        weights = agent_weights(self._trained)
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise NonFiniteLossError(
                f"the weights after {self._count.steps:,} steps are not finite: nothing was saved since the last "
                "checkpoint; a smaller learner.learning_rate helps"
            )
        return _state(weights, self._count)


@dataclass
class _Count(Progress):
    """A run's progress, told by RLlib's counters, with our names for its figures.

    Attributes:
        algorithm: RLlib's.
        origin: how the run came to be, for its checkpoints.
        learnt: the last call's figures, by our names.
    """

    algorithm: str = "impala"
    origin: Mapping[str, Any] = field(default_factory=dict)
    learnt: dict[str, float] = field(default_factory=dict)

    def take(self, figures: Mapping[str, Any]) -> bool:
        """Take over what a call reported."""
        played = figures[ENV_RUNNER_RESULTS]
        learnt = figures.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})  # absent before the first update
        self.steps = int(played[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        self.episodes.add(played.get(RETURNS, ()), played.get(LENGTHS, ()))
        self.updates = int(learnt.get(WEIGHTS_SEQ_NO, self.updates))
        self.interval.updates += 1
        policy_loss, value_loss, share = LOSSES[self.algorithm]
        self.learnt = {
            "policy_loss": float(learnt.get(policy_loss, math.nan)),
            "value_loss": share * float(learnt.get(value_loss, math.nan)),
            **{name: float(learnt.get(theirs, math.nan)) for name, theirs in FIGURES.items()},
        }
        return False

    def line(self) -> dict[str, float]:
        """What there is of a line; figures of our own engines are no numbers."""
        known = super().line()
        counted = ("steps", "updates", "episodes", "return_mean", "length_mean")
        told = {name: known[name] for name in (*counted, "steps_per_second", "memory_mb", "seconds")}
        return dict.fromkeys(GLOSSARY, math.nan) | told | self.learnt

    def to_json(self) -> dict[str, Any]:
        """With where the run came from."""
        return super().to_json() | {"rllib": dict(self.origin)}


def _state(weights: Mapping[str, np.ndarray], progress: Progress) -> dict[str, Any]:
    """What our trainer's checkpoints hold, without an optimiser's state."""
    counters = {"steps": np.asarray(progress.steps, np.int64), "updates": np.asarray(progress.updates, np.int64)}
    return {"learner": {"agent": dict(weights), "optimizer": {}, **counters}}


def _farewell(result: TrainingResult, algorithm: str) -> str:
    said = farewell(result, "stopped")
    if result.steps == 0:
        return said
    return f"{said}\nstart from it: {command('rllib', 'run', result.run)} algorithm={algorithm}"
