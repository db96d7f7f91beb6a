"""The loop of every training run: updates, lines of metrics, checkpoints, until the budget is spent or a stop is asked.

What is learnt, and how it is counted, is told by two objects: one makes updates and gives its state, the other keeps
count. The loop loses nothing: a full disk costs a warning, and whatever stops a run, what was learnt is saved first.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from rmc_rl.checkpoint import checkpoint_name, checkpoints, prune, save_checkpoint
from rmc_rl.config import CheckpointConfig
from rmc_rl.display import Display
from rmc_rl.errors import NonFiniteLossError, UserError
from rmc_rl.metrics import Writer
from rmc_rl.run_folder import RunFolder

CHECKPOINTS_KEPT = 2
FIRST_CHECKPOINT_SECONDS = 10.0


class Learning(Protocol):
    """What learns."""

    def update(self) -> Mapping[str, Any] | None:
        """One update's figures; None where there is nothing more to come."""

    def get_state(self) -> dict[str, Any] | None:
        """All that is needed to go on; None where it is lost."""


class Count(Protocol):
    """How far a run has come.

    Attributes:
        steps: in the unit of the budget.
        seconds: training time, resumed parts included.
        best: the best score at a checkpoint so far; None before the first.
    """

    steps: int
    seconds: float
    best: float | None

    @property
    def line_start(self) -> int:
        """Steps at the last line of metrics."""

    @property
    def line_is_empty(self) -> bool:
        """Whether there was no update since the last line."""

    @property
    def score(self) -> float | None:
        """What makes one checkpoint better than another; None where that cannot be said yet."""

    def take(self, figures: Mapping[str, Any]) -> bool:
        """Count an update; whether updates before it were lost."""

    def line(self) -> dict[str, float]:
        """The figures since the last line; the next one begins."""

    def as_of(self, state: Mapping[str, Any], best: float | None) -> Self:
        """The count that goes with a state: what learns may have gone on since its last figures."""

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint records of it."""


class Loop:
    """One training run in progress.

    Args:
        budget: steps until it is finished.
        log_every: steps between two lines of metrics.
        checkpoint: when checkpoints are written and which are kept.
        folder: the run's.
        learning: what learns.
        count: how far it has come.
        display: shows it.
        writers: keep it.
        due: whether somebody wants a checkpoint after so many steps, at once.
        delivered: is given that checkpoint; None where it could not be written.
    """

    def __init__(
        self,
        *,
        budget: int,
        log_every: int,
        checkpoint: CheckpointConfig,
        folder: RunFolder,
        learning: Learning,
        count: Count,
        display: Display,
        writers: Sequence[Writer],
        due: Callable[[int], bool] = lambda steps: False,
        delivered: Callable[[Path | None, int], None] = lambda path, steps: None,
    ) -> None:
        self.budget, self.log_every, self.checkpoint = budget, log_every, checkpoint
        self.folder, self.learning, self.count = folder, learning, count
        self.display, self.writers = display, writers
        self._due, self._delivered = due, delivered
        self._saved_steps = count.steps  # a run that has learnt nothing has nothing to save
        self._not_saved = ""  # why the last attempt failed

    def run(self, stop: threading.Event) -> bool:
        """Update until the budget is spent or a stop is asked for; whether it is spent.

        Raises:
            UserError: something stopped the run, or its last steps could not be saved.
        """
        count = self.count
        seconds_before, started = count.seconds, time.monotonic()
        # The first checkpoint comes early: until then everything could be lost.
        last_saved = started - max(self.checkpoint.every_seconds - FIRST_CHECKPOINT_SECONDS, 0.0)
        try:
            while count.steps < self.budget and not stop.is_set():
                figures = self.learning.update()
                if figures is None:
                    break
                if count.take(figures):
                    for writer in self.writers:
                        writer.rewind(count.steps)
                count.seconds = seconds_before + time.monotonic() - started
                self.display.progress(count.steps)
                if count.steps // self.log_every > count.line_start // self.log_every:
                    self._write_line()
                wanted = self._due(count.steps)
                if wanted or time.monotonic() - last_saved >= self.checkpoint.every_seconds:
                    self.save()
                    last_saved = time.monotonic()
                if wanted:
                    saved = self._saved_steps == count.steps
                    self._delivered(checkpoints(self.folder.checkpoints)[-1] if saved else None, count.steps)
        except NonFiniteLossError:
            raise  # the last good checkpoint stays the last
        except Exception:
            with contextlib.suppress(Exception):  # a learner that died has nothing to give
                self.save()  # what was learnt is kept, whatever stopped the run
            raise
        finished = count.steps >= self.budget
        if not finished:
            self.display.say("stopping, saving …")
        if finished and not count.line_is_empty:
            self._write_line()  # a run that was stopped goes on with its line instead
        self.save()
        if self._saved_steps < count.steps:
            raise UserError(
                f"the last steps, up to {count.steps:,}, could not be saved in {self.folder.path} "
                f"({self._not_saved}): {self._newest()}; make room, then resume"
            )
        return finished

    def save(self) -> None:
        """Write a checkpoint; a full disk costs a warning, not the run."""
        count = self.count
        if count.steps == self._saved_steps:
            return
        state = self.learning.get_state()
        if state is None:
            self._could_not_save("the learner died")
            return
        score = count.score
        is_best = score is not None and (count.best is None or score > count.best)
        best = score if is_best else count.best
        counted = count.as_of(state, best)
        folder, info = self.folder.checkpoints, counted.to_json()
        try:
            path = save_checkpoint(folder, checkpoint_name(counted.steps), state, info)
            if is_best:
                save_checkpoint(folder, "best", state, info)
            prune(folder, CHECKPOINTS_KEPT, self.checkpoint.keep_every_steps)
        except OSError as error:
            self._could_not_save(str(error))
            return
        self._not_saved = ""
        count.best = best
        self._saved_steps = count.steps
        for writer in self.writers:
            writer.saved(path, is_best)

    def _write_line(self) -> None:
        row = self.count.line()
        for writer in self.writers:
            writer.write(row)
        self.display.row(row)

    def _could_not_save(self, why: str) -> None:
        if not self._not_saved:
            self.display.say(f"no checkpoint was written ({why}): the earlier one stays, training goes on")
        self._not_saved = why

    def _newest(self) -> str:
        kept = checkpoints(self.folder.checkpoints)
        return f"the newest checkpoint is {kept[-1].name}" if kept else "there is no checkpoint"


@contextlib.contextmanager
def stop_on_signals(second_leaves: bool = True) -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a closed terminal ask for a stop, which saves.

    Args:
        second_leaves: whether a second Ctrl-C leaves at once; not where a launcher sends each on a second time.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread only
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT and second_leaves:
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
