"""Supervised training: from a configuration or a run folder to a learner, and the loop around it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import torch

from rmc_rl.building import available_cores, learner_device, prepare_process, refusals
from rmc_rl.display import LastingDisplay, make_display
from rmc_rl.environment import import_named
from rmc_rl.errors import UserError
from rmc_rl.loop import Loop, stop_on_signals
from rmc_rl.metrics import make_writers
from rmc_rl.run_folder import command
from rmc_rl.start import Start, begin
from rmc_rl.supervised.config import SUPERVISED, SupervisedConfig
from rmc_rl.supervised.learner import SupervisedLearner
from rmc_rl.supervised.models import Model, make_model
from rmc_rl.supervised.processes import Leading, Processes, follow, joined
from rmc_rl.supervised.progress import GLOSSARY, SupervisedProgress, board, perplexity_of
from rmc_rl.supervised.tasks import Task, make_task


@dataclass(frozen=True)
class SupervisedResult:
    """What a call of `train` leaves.

    Attributes:
        run: the run folder.
        steps: updates, resumed parts included.
        test: scores of the last evaluation; none where there was none.
        finished: whether the budget was spent; false after Ctrl-C or SIGTERM.
    """

    run: Path
    steps: int
    test: Mapping[str, float]
    finished: bool


def train(config: SupervisedConfig | Sequence[str], *, extra_dir: str | None = None) -> SupervisedResult:
    """Train, from a configuration or from overrides as typed on the command line (``resume=…`` among them).

    Started by ``torchrun``, in several processes at once, these learn as one; all return the same.

    Raises:
        UserError: bad input, or something that stopped the run; what was learnt is in its last checkpoint.
    """
    with joined() as processes:
        if processes.rank > 0:
            return _follow(processes)
        try:
            start = begin(config, SUPERVISED, _check, SupervisedProgress.from_json, extra_dir)
        except BaseException:
            processes.share()  # there is nothing to follow
            raise
        processes.share((start.config, start.state))
        with stop_on_signals(second_leaves=processes.count == 1) as stop:
            return _run(start, processes, stop)


def build(config: SupervisedConfig, *, trust: bool | None = None) -> tuple[Task, Model]:
    """The task and the model of a configuration; the model's initial weights are a function of the seed.

    Args:
        config: what they are made of; the modules it names are imported first.
        trust: whether modules may be imported; None: as the configuration says.

    Raises:
        UserError: an unknown task or core, arguments they refuse, or a module that is not trusted.
    """
    for module in config.modules:
        import_named(module, "modules", config.trust if trust is None else trust)
    with refusals("the task cannot be made"):
        task = make_task(**{str(key): value for key, value in config.task.items()})
    options = {str(key): value for key, value in config.core.items() if key != "name"}
    surroundings = config.model
    special = {
        "own_decoder": surroundings.own_decoder,
        "feed_back": surroundings.feed_back,
        "dropout": surroundings.dropout,
        "cutoffs": tuple(surroundings.cutoffs),
    }
    with refusals("the model cannot be built"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make_model(
            task,
            config.core["name"],
            options,
            embedding_size=surroundings.embedding_size,
            hidden_sizes=tuple(surroundings.hidden_sizes),
            **{name: value for name, value in special.items() if value},  # not every model has them
        )
    return task, model


def _check(config: SupervisedConfig) -> tuple[Task, Model]:
    built = build(config)
    learner_device(config)
    return built


def _learner(
    built: tuple[Task, Model], config: SupervisedConfig, state: Mapping[str, Any] | None, processes: Processes
) -> SupervisedLearner:
    device = learner_device(config)
    threads = config.learner.threads or max(available_cores() // processes.local_count, 1)
    prepare_process(threads if device == "cuda" else 1)
    if device == "cuda":
        device = f"cuda:{processes.local_rank}"
    with refusals("the model cannot be trained"):
        learner = SupervisedLearner(*built, config, device, threads, processes)
    if state is not None:
        learner.set_state(dict(state))
    return learner


def _follow(processes: Processes) -> SupervisedResult:
    """What all processes but the first do."""
    given = processes.share()
    if given is None:
        raise SystemExit(1)  # process 0 says why
    config, state = given
    try:
        follow(_learner(build(config), config, state, processes), processes)
        result: SupervisedResult = processes.share()
    except UserError:  # which process 0 meets as well, or it has gone
        raise SystemExit(1) from None
    return result


def _run(
    start: Start[SupervisedConfig, tuple[Task, Model], SupervisedProgress], processes: Processes, stop: Event
) -> SupervisedResult:
    config, folder = start.config, start.folder
    progress = start.count or SupervisedProgress()
    progress.judged_by = start.checked[0].judged_by
    display = LastingDisplay(make_display(config, board(progress.judged_by)))
    with contextlib.ExitStack() as stack:
        stack.callback(folder.close)
        folder.abandoned = start.state is None  # a new one, until there is something that trains
        learner = _learner(start.checked, config, start.state, processes)
        folder.abandoned = False
        leading = Leading(learner, processes)
        stack.callback(leading.end)
        task, core = config.title
        display.start(f"{task} · {core} · {folder.path}", config.total_steps, progress.steps)
        stack.callback(display.stop)
        for note in start.notes:
            display.say(note)
        writers = make_writers(config, folder.path, progress.steps, GLOSSARY)
        for writer in writers:
            stack.callback(writer.close)
        if start.notes:
            folder.write_config(config)  # a resumed run's, once it is known to work
        loop = Loop(
            budget=config.total_steps,
            log_every=config.log.every_steps,
            checkpoint=config.checkpoint,
            folder=folder,
            learning=leading,
            count=progress,
            display=display,
            writers=writers,
        )
        finished = loop.run(stop)
    result = SupervisedResult(folder.path, progress.steps, progress.test, finished)
    processes.share(result)
    display.say(farewell(result))
    return result


def farewell(result: SupervisedResult) -> str:
    """What a run says at its end."""
    if result.steps == 0:
        return f"stopped before anything was learnt; {result.run} holds no checkpoint"
    said = "finished" if result.finished else f"stopped; go on with: {command('supervised', 'resume', result.run)}"
    tested = ""
    if result.test:
        right, perplexity = result.test["accuracy"], perplexity_of(result.test["loss"])
        tested = f", {right:.2%} of the answers right, perplexity {perplexity:,.2f}"
    plot, analyse = command("plot", "runs", result.run), command("analyse", "run", result.run)
    return f"{said}\n{result.steps:,} updates{tested}\nplot it: {plot}\nlook into it: {analyse}"
