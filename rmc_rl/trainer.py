"""The loop that joins engine, metrics, display and checkpoints, readable from top to bottom."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmc_rl.building import build_agent, learner_device
from rmc_rl.checkpoint import checkpoint_name, checkpoints, latest_checkpoint, load_checkpoint, prune, save_checkpoint
from rmc_rl.config import TRAIN, Config, make_config, read_config
from rmc_rl.display import Display, LastingDisplay, make_display
from rmc_rl.engines import Engine, make_engine
from rmc_rl.environment import make_vector
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.metrics import Interval, make_writers, memory_mb
from rmc_rl.overrides import overridden, resume_words
from rmc_rl.progress import Progress
from rmc_rl.run_folder import RunFolder, command, create_run_folder, find_run
from rmc_rl.schema import changes
from rmc_rl.spaces import Interface, interface

CHECKPOINTS_KEPT = 2
FIRST_CHECKPOINT_SECONDS = 10.0


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
    if isinstance(config, Config):
        if config.resume is not None:
            raise UserError("resume goes with what is typed, train(['resume=…', …]), not with a whole configuration")
        return _run(config, _check(config), create_run_folder(config), None, [])
    words = [config] if isinstance(config, str) else list(config)
    resume = resume_words(words)
    if resume is None:
        return train(make_config(*words, extra_dir=extra_dir))
    path = find_run(resume.run, resume.runs_dir or TRAIN.compose([]).runs_dir)
    folder = RunFolder(path)
    try:
        saved = read_config(path / "config.yaml")
        changed = overridden(saved, resume.others, TRAIN, extra_dir)
        newest = latest_checkpoint(folder.checkpoints)
        state, info = load_checkpoint(newest)
        progress = Progress.from_json(info, newest)
        agent_interface = _check(changed)
    except BaseException:
        folder.close()
        raise
    notes = [f"resuming {path} after {progress.steps:,} steps"]
    notes += [f"  changed {line}" for line in changes(saved, changed)]
    return _run(changed, agent_interface, folder, (state, progress), notes)


def _check(config: Config) -> Interface:
    """Make environment and agent once before anything is started or written, so that bad input costs nothing."""
    env = make_vector(config.env, 1, trust=config.trust)
    found = interface(env)
    env.close()
    build_agent(config, found)
    if config.engine.address is None:  # else it is a cluster's GPUs that count
        learner_device(config)
    return found


def _run(
    config: Config,
    agent_interface: Interface,
    folder: RunFolder,
    checkpoint: tuple[dict[str, Any], Progress] | None,
    notes: list[str],
) -> TrainingResult:
    state, progress = checkpoint if checkpoint is not None else (None, Progress(agent_interface))
    display = LastingDisplay(make_display(config))
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        stack.callback(folder.close)
        title = f"{config.env.name} · {config.core['name']} · engine {config.engine.name} · {folder.path}"
        display.start(title, config.total_steps, progress.steps)
        stack.callback(display.stop)
        for note in notes:
            display.say(note)
        writers = make_writers(config, folder.path, progress.steps)
        for writer in writers:
            stack.callback(writer.close)
        engine = make_engine(
            config,
            agent_interface,
            state,
            last_state=lambda: _last_state(folder),
            should_stop=stop.is_set,
            say=display.say,
            traces=folder.path / "profile" if config.profile else None,
        )
        stack.callback(engine.close)
        if notes and not stop.is_set():
            folder.write_config(config)  # a resumed run's, once it is known to work
        result = _Loop(config, folder, engine, progress, display, writers).run(stop)
    # Below the live table.
    display.say(farewell(result, f"stopped; go on with: {command('train', 'resume', result.run)}"))
    return result


def _last_state(folder: RunFolder) -> dict[str, Any] | None:
    found = checkpoints(folder.checkpoints)
    return load_checkpoint(found[-1])[0] if found else None


class _Loop:
    """One training run in progress."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        engine: Engine,
        progress: Progress,
        display: Display,
        writers: Sequence[Any],
    ) -> None:
        self.config, self.folder, self.engine = config, folder, engine
        self.progress, self.display, self.writers = progress, display, writers
        self.seconds_before = progress.seconds
        self.saved_steps = progress.steps  # a run that has learnt nothing has nothing to save
        self.not_saved = ""  # why the last attempt failed

    def run(self, stop: threading.Event) -> TrainingResult:
        """Update until the budget is spent or a stop is asked for."""
        config, progress = self.config, self.progress
        self.started = time.monotonic()
        # The first checkpoint comes early: until then everything could be lost.
        last_saved = self.started - max(config.checkpoint.every_seconds - FIRST_CHECKPOINT_SECONDS, 0.0)
        counts = dict.fromkeys(("queue", "restarts", "dropped_rollouts"), 0)

        def close_interval() -> None:
            row = {
                "steps": progress.steps,
                "updates": progress.updates,
                "episodes": progress.episodes.count,
                "return_mean": progress.episodes.return_mean,
                "length_mean": progress.episodes.length_mean,
                **progress.interval.figures(progress.steps),
                **counts,
                "env_failures": progress.env_failures,
                "memory_mb": memory_mb(),
                "seconds": progress.seconds,
            }
            for writer in self.writers:
                writer.write(row)
            self.display.row(row)
            progress.interval = Interval(progress.steps)

        try:
            while progress.steps < config.total_steps and not stop.is_set():
                figures = self.engine.update()
                if figures is None:
                    break
                if figures["updates"] <= progress.updates:  # a learner that died went on from a checkpoint
                    progress.interval = Interval(figures["steps"])
                    for writer in self.writers:
                        writer.rewind(figures["steps"])
                progress.env_failures += figures["env_failures"]
                progress.steps, progress.updates = figures["steps"], figures["updates"]
                progress.seconds = self.seconds_before + time.monotonic() - self.started
                counts.update({name: figures[name] for name in counts})
                progress.episodes.add(figures["episode_return"], figures["episode_length"])
                progress.interval.add(figures)
                self.display.progress(progress.steps)
                every = config.log.every_steps
                if progress.steps // every > progress.interval.start_steps // every:
                    close_interval()
                if time.monotonic() - last_saved >= config.checkpoint.every_seconds:
                    self.save()
                    last_saved = time.monotonic()
        except NonFiniteLossError:
            raise  # the last good checkpoint stays the last
        except Exception:
            with contextlib.suppress(Exception):  # a learner that died has nothing to give
                self.save()  # what was learnt is kept, whatever stopped the run
            raise
        finished = progress.steps >= config.total_steps
        if not finished:
            self.display.say("stopping, saving …")
        if finished and progress.interval.updates:
            close_interval()  # a run that was stopped goes on with its interval instead
        self.save()
        if self.saved_steps < progress.steps:
            kept = checkpoints(self.folder.checkpoints)
            newest = f"the newest checkpoint is {kept[-1].name}" if kept else "there is no checkpoint"
            raise UserError(
                f"the last steps, up to {progress.steps:,}, could not be saved in {self.folder.path} "
                f"({self.not_saved}): {newest}; make room, then resume"
            )
        return TrainingResult(self.folder.path, progress.steps, progress.episodes.return_mean, finished)

    def save(self) -> None:
        """Write a checkpoint; a full disk costs a warning, not the run."""
        progress = self.progress
        if progress.steps == self.saved_steps:
            return
        state = self.engine.get_state()
        if state is None:
            self._could_not_save("the learner died")
            return
        mean = progress.episodes.return_mean
        best = progress.episodes.full and (progress.best_return is None or mean > progress.best_return)
        # A distributed learner may have finished another update since its last figures: the state knows.
        best_return = mean if best else progress.best_return
        counted = replace(
            progress,
            best_return=best_return,
            steps=int(state["learner"]["steps"]),
            updates=int(state["learner"]["updates"]),
        )
        info = counted.to_json()
        try:
            save_checkpoint(self.folder.checkpoints, checkpoint_name(counted.steps), state, info)
            if best:
                save_checkpoint(self.folder.checkpoints, "best", state, info)
            prune(self.folder.checkpoints, CHECKPOINTS_KEPT, self.config.checkpoint.keep_every_steps)
        except OSError as error:
            self._could_not_save(str(error))
            return
        self.not_saved = ""
        progress.best_return = best_return
        self.saved_steps = progress.steps

    def _could_not_save(self, why: str) -> None:
        if not self.not_saved:
            self.display.say(f"no checkpoint was written ({why}): the earlier one stays, training goes on")
        self.not_saved = why


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


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a closed terminal ask for a stop, which saves; a second Ctrl-C leaves at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread only
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup the run is to outlive its terminal
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
