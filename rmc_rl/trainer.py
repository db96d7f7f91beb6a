"""The loop that joins engine, metrics, display and checkpoints, readable from top to bottom."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rmc_rl.building import build_agent, learner_device
from rmc_rl.checkpoint import checkpoint_name, latest_checkpoint, load_checkpoint, prune, save_checkpoint
from rmc_rl.config import Config, changes, make_config, read_config
from rmc_rl.display import Display, make_display
from rmc_rl.engines import Engine, make_engine
from rmc_rl.environment import Interface, interface, make_vector
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.metrics import Episodes, Interval, make_writers
from rmc_rl.overrides import check_overrides, overridden
from rmc_rl.run_folder import RunFolder, create_run_folder, find_run

CHECKPOINTS_KEPT = 2


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
    words: Sequence[str] = []
    if not isinstance(config, Config):
        words = [config] if isinstance(config, str) else config
        config = make_config(*words, extra_dir=extra_dir)
    if config.resume is None:
        agent_interface = _check(config)
        return _run(config, agent_interface, create_run_folder(config), None, [])
    path = find_run(config.resume, config.runs_dir)
    folder = RunFolder(path)
    try:
        saved = read_config(path / "config.yaml")
        check_overrides(words, extra_dir)
        config = overridden(saved, [word for word in words if not word.startswith(("resume=", "runs_dir="))], extra_dir)
        checkpoint = load_checkpoint(latest_checkpoint(folder.checkpoints))
        agent_interface = _check(config)
    except BaseException:
        folder.close()
        raise
    differences = changes(saved, config)
    notes = [f"resuming {path} after {checkpoint[1]['steps']:,} steps"]
    notes += [f"  changed {line}" for line in differences]
    return _run(config, agent_interface, folder, checkpoint, notes)


def _check(config: Config) -> Interface:
    """Make environment and agent once before anything is started or written, so that bad input costs nothing."""
    env = make_vector(config.env, 1, trust=config.trust)
    found = interface(env.single_observation_space, env.single_action_space)
    env.close()
    build_agent(config, found)
    learner_device(config)
    return found


def _run(
    config: Config,
    agent_interface: Interface,
    folder: RunFolder,
    checkpoint: tuple[dict[str, Any], dict[str, Any]] | None,
    notes: list[str],
) -> TrainingResult:
    state, info = checkpoint if checkpoint is not None else (None, None)
    display = make_display(config)
    engine: Engine | None = None
    with contextlib.ExitStack() as stack, _stop_on_signals() as stop:
        stack.callback(folder.close)
        steps = info["steps"] if info else 0
        title = f"{config.env.name} · {config.core['name']} · engine {config.engine.name} · {folder.path}"
        display.start(title, config.total_steps, steps)
        stack.callback(display.stop)
        for note in notes:
            display.say(note)
        writers = make_writers(config, folder.path, steps)
        for writer in writers:
            stack.callback(writer.close)
        engine = make_engine(config, agent_interface, state, stop.is_set, display.say)
        stack.callback(engine.close)
        if notes:
            folder.write_config(config)  # a resumed run's, once it is known to work
        result = _Loop(config, folder, engine, agent_interface, display, writers, info).run(stop)
    display.say(_farewell(result))  # below the live table
    return result


class _Loop:
    """One training run in progress."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        engine: Engine,
        interface: Interface,
        display: Display,
        writers: Sequence[Any],
        info: dict[str, Any] | None,
    ) -> None:
        self.config, self.folder, self.engine, self.interface = config, folder, engine, interface
        self.display, self.writers = display, writers
        self.episodes = Episodes()
        self.steps = self.updates = 0
        self.seconds_before = 0.0
        self.best_return = float("-inf")
        if info is not None:
            self.steps, self.updates = info["steps"], info["updates"]
            self.seconds_before = info["seconds"]
            self.episodes.set_state(info["episodes"])
            self.best_return = info["best_return"] if info["best_return"] is not None else float("-inf")
        self.saved_steps = self.steps if info is not None else -1
        self.warned_about_saving = False

    def run(self, stop: threading.Event) -> TrainingResult:
        """Update until the budget is spent or a stop is asked for."""
        config = self.config
        self.started = last_saved = interval_started = time.monotonic()
        interval, interval_steps, restarts, queue = Interval(), self.steps, 0, 0

        def close_interval() -> None:
            nonlocal interval, interval_started, interval_steps
            now = time.monotonic()
            elapsed = max(now - interval_started, 1e-9)
            row = {
                "steps": self.steps,
                "updates": self.updates,
                "episodes": self.episodes.count,
                "return_mean": self.episodes.return_mean,
                "length_mean": self.episodes.length_mean,
                **interval.means(),
                "steps_per_second": (self.steps - interval_steps) / elapsed,
                "learner_busy": min(interval.busy_seconds / elapsed, 1.0),
                "queue": queue,
                "restarts": restarts,
                "seconds": self.seconds,
            }
            for writer in self.writers:
                writer.write(row)
            self.display.row(row)
            interval, interval_started, interval_steps = Interval(), now, self.steps

        try:
            while self.steps < config.total_steps and not stop.is_set():
                figures = self.engine.update()
                if figures is None:
                    break
                self.steps, self.updates = figures["steps"], figures["updates"]
                restarts, queue = figures["restarts"], figures["queue"]
                self.episodes.add(figures["episode_return"], figures["episode_length"])
                interval.add(figures)
                self.display.progress(self.steps)
                if self.steps // config.log.every_steps > interval_steps // config.log.every_steps:
                    close_interval()
                if time.monotonic() - last_saved >= config.checkpoint.every_seconds:
                    self.save()
                    last_saved = time.monotonic()
        except NonFiniteLossError:
            raise  # the last good checkpoint stays the last
        except UserError:
            with contextlib.suppress(UserError):  # a learner that died has nothing to give
                self.save()  # what was learnt is kept, whatever stopped the run
            raise
        if interval.updates:
            close_interval()
        self.save()
        finished = self.steps >= config.total_steps
        return TrainingResult(self.folder.path, self.steps, self.episodes.return_mean, finished)

    @property
    def seconds(self) -> float:
        """Training time so far, resumed parts included."""
        return self.seconds_before + time.monotonic() - self.started

    def save(self) -> None:
        """Write a checkpoint; a full disk costs a warning, not the run."""
        if self.steps == self.saved_steps:
            return
        state = self.engine.get_state()
        # A distributed learner may have finished another update since its last figures: the state knows.
        info: dict[str, Any] = {
            "steps": int(state["learner"]["steps"]),
            "updates": int(state["learner"]["updates"]),
            "episodes": self.episodes.get_state(),
            "seconds": self.seconds,
            "interface": asdict(self.interface),  # an agent can be loaded without its environment
            "return_mean": None if self.episodes.count == 0 else self.episodes.return_mean,
        }
        best = self.episodes.full and self.episodes.return_mean > self.best_return
        if best:
            self.best_return = self.episodes.return_mean
        info["best_return"] = self.best_return if self.best_return > float("-inf") else None
        try:
            save_checkpoint(self.folder.checkpoints, checkpoint_name(info["steps"]), state, info)
            if best:
                save_checkpoint(self.folder.checkpoints, "best", state, info)
            prune(self.folder.checkpoints, CHECKPOINTS_KEPT, self.config.checkpoint.keep_every_steps)
        except OSError as error:
            if not self.warned_about_saving:
                self.display.say(f"no checkpoint was written ({error}): the earlier one stays, training goes on")
            self.warned_about_saving = True
            return
        self.warned_about_saving = False
        self.saved_steps = self.steps


def _farewell(result: TrainingResult) -> str:
    outcome = "finished" if result.finished else f"stopped; go on with: python -m rmc_rl.train resume={result.run}"
    return (
        f"{outcome}\n{result.steps:,} steps, mean return {result.return_mean:.2f} over the last episodes\n"
        f"watch it:    python -m rmc_rl.watch run={result.run}\n"
        f"evaluate it: python -m rmc_rl.evaluate run={result.run}"
    )


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM ask for a stop, which saves; a second Ctrl-C leaves at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread only
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
