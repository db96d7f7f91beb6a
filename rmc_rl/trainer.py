"""Training an agent: from a configuration or a run folder to an engine, and the loop around it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmc_rl.building import build_agent, learner_device
from rmc_rl.checkpoint import latest_checkpoint
from rmc_rl.config import TRAIN, Config
from rmc_rl.display import LastingDisplay, make_display
from rmc_rl.engines import make_engine
from rmc_rl.environment import interface_of
from rmc_rl.loop import Loop, stop_on_signals
from rmc_rl.metrics import make_writers
from rmc_rl.progress import Progress
from rmc_rl.run_folder import command
from rmc_rl.spaces import Interface
from rmc_rl.start import Start, begin, last_state
from rmc_rl.videos import Videos


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` leaves.

    Attributes:
        run: the run folder.
        steps: environment steps learnt from, resumed parts included.
        return_mean: mean return of the last 100 training episodes.
        finished: whether the budget was spent; false after Ctrl-C or SIGTERM.
    """

    run: Path
    steps: int
    return_mean: float
    finished: bool


def train(config: Config | Sequence[str], *, extra_dir: str | None = None) -> TrainingResult:
    """Train, from a configuration or from overrides as typed on the command line (``resume=…`` among them).

    Raises:
        UserError: bad input, or something that stopped the run; what was learnt is in its last checkpoint.
    """
    return _run(begin(config, TRAIN, _check, Progress.from_json, extra_dir))


def _check(config: Config) -> Interface:
    """Make environment and agent once before anything is started or written, so that bad input costs nothing."""
    found = interface_of(config.env, trust=config.trust)
    build_agent(config, found)
    if config.engine.address is None:  # else it is a cluster's GPUs that count
        learner_device(config)
    return found


def _run(start: Start[Config, Interface, Progress]) -> TrainingResult:
    config, folder = start.config, start.folder
    progress = start.count or Progress(start.checked)
    display = LastingDisplay(make_display(config))
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        stack.callback(folder.close)
        title = f"{config.env.name} · {config.core['name']} · engine {config.engine.name} · {folder.path}"
        display.start(title, config.total_steps, progress.steps)
        stack.callback(display.stop)
        for note in start.notes:
            display.say(note)
        writers = make_writers(config, folder.path, progress.steps)
        for writer in writers:
            stack.callback(writer.close)
        videos = Videos(config, folder.path, progress.steps, writers, display.say)
        stack.callback(videos.close)
        folder.abandoned = start.state is None  # a new one, until there is something that trains
        engine = make_engine(
            config,
            start.checked,
            start.state,
            last_state=lambda: last_state(folder),
            should_stop=stop.is_set,
            say=display.say,
            traces=folder.path / "profile" if config.profile else None,
        )
        stack.callback(engine.close)
        folder.abandoned = False
        if start.notes and not stop.is_set():
            folder.write_config(config)  # a resumed run's, once it is known to work
        loop = Loop(
            budget=config.total_steps,
            log_every=config.log.every_steps,
            checkpoint=config.checkpoint,
            folder=folder,
            learning=engine,
            count=progress,
            display=display,
            writers=writers,
            due=videos.due,
            delivered=videos.start,
        )
        finished = loop.run(stop)
        if finished:
            engine.close()  # the cores are the last video's
            videos.finish(latest_checkpoint(folder.checkpoints), progress.steps, stop)
        result = TrainingResult(folder.path, progress.steps, progress.episodes.return_mean, finished)
    # Below the live table.
    display.say(farewell(result, f"stopped; go on with: {command('train', 'resume', result.run)}"))
    return result


def farewell(result: TrainingResult, stopped: str) -> str:
    """What a run says at its end; ``stopped`` where its budget was not spent."""
    if result.steps == 0:
        return f"stopped before anything was learnt; {result.run} holds no checkpoint"
    known = math.isfinite(result.return_mean)
    mean = f"mean return {result.return_mean:.2f} over the last episodes" if known else "no episode has ended yet"
    return (
        f"{'finished' if result.finished else stopped}\n{result.steps:,} steps, {mean}\n"
        f"watch it:    {command('watch', 'run', result.run)}\n"
        f"evaluate it: {command('evaluate', 'run', result.run)}"
    )
