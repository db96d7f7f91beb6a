"""The terminal while a run trains: a live table, or one plain line per interval where there is no terminal."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rmc_rl.config import RunConfig


class Display(Protocol):
    """What the trainer tells the person."""

    def start(self, title: str, total_steps: int, steps: int) -> None:
        """Training begins (or goes on after `steps`)."""

    def progress(self, steps: int) -> None:
        """So many steps are done; called after every update."""

    def row(self, row: Mapping[str, float]) -> None:
        """A line of metrics is due."""

    def say(self, message: str) -> None:
        """Something the person should know."""

    def stop(self) -> None:
        """Training is over; the terminal is given back."""


class NoDisplay:
    """Says nothing but messages on standard error."""

    def start(self, title: str, total_steps: int, steps: int) -> None:
        """Nothing to show."""

    def progress(self, steps: int) -> None:
        """Nothing to show."""

    def row(self, row: Mapping[str, float]) -> None:
        """Nothing to show."""

    def say(self, message: str) -> None:
        """Messages matter even where nothing is displayed."""
        print(message, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Nothing to give back."""


class LastingDisplay:
    """Shows by another display for as long as the terminal or pipe is there; a run goes on without it.

    The reader of our output may leave (`… | head`), its disk may be full, the terminal may be closed.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._gone = False

    def _show(self, what: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            what()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._gone = True
            with contextlib.suppress(OSError, ValueError, AttributeError):
                # What Python still holds back for the stream must not fail again at the end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def start(self, title: str, total_steps: int, steps: int) -> None:
        """As the other display."""
        self._show(lambda: self._display.start(title, total_steps, steps))

    def progress(self, steps: int) -> None:
        """As the other display."""
        self._show(lambda: self._display.progress(steps))

    def row(self, row: Mapping[str, float]) -> None:
        """As the other display."""
        self._show(lambda: self._display.row(row))

    def say(self, message: str) -> None:
        """As the other display."""
        self._show(lambda: self._display.say(message))

    def stop(self) -> None:
        """As the other display."""
        self._show(self._display.stop)


@dataclass(frozen=True)
class Board:
    """Which figures a kind of run shows.

    Attributes:
        line: the plain line, a format string of names in the row of metrics; a figure not known yet is a dash.
        blocks: the live table's, of rows (label, names in the row of metrics, format, what it means).
    """

    line: str
    blocks: tuple[tuple[tuple[str, tuple[str, ...], str, str], ...], ...]


# How well the agent plays, then how fast it goes, then how it learns.
AGENT_BOARD = Board(
    line=(
        "return {return_mean:>8.2f} | length {length_mean:>6,.0f} "
        "| policy {policy_loss:+.3f} value {value_loss:.3f} entropy {entropy:.3f} "
        "| lag {policy_lag:.1f} | {steps_per_second:,.0f} steps/s"
    ),
    blocks=(
        (
            ("return", ("return_mean",), ",.2f", "mean of the last 100 episodes"),
            ("length, episodes", ("length_mean", "episodes"), ",.0f", "mean steps of the same, ended so far"),
        ),
        (
            ("speed", ("steps_per_second",), ",.0f", "environment steps learnt per second"),
            ("games alone", ("env_speed",), ",.0f", "the same without the agent"),
            ("acting, learning", ("acting_speed", "learning_speed"), ",.0f", "the same if it never waited"),
            ("actors, learner", ("actor_busy", "learner_busy"), ".0%", "of the time busy"),
            ("waiting rollouts", ("queue",), ",.0f", "acted and not yet learnt from"),
            ("policy lag", ("policy_lag",), ".2f", "updates between acting and learning"),
            ("restarts, drops", ("restarts", "dropped_rollouts"), ",.0f", "processes, rollouts since the start"),
            ("memory", ("memory_mb",), ",.0f", "MB"),
        ),
        (
            ("policy loss", ("policy_loss",), "+.4f", "per step"),
            ("value loss", ("value_loss",), ".4f", "per step"),
            ("explained variance", ("explained_variance",), ".2f", "of the value's targets; 1 is perfect"),
            ("entropy", ("entropy",), ".3f", "nats per step"),
            ("gradient norm", ("grad_norm",), ".2f", "before clipping"),
        ),
    ),
)


class PlainDisplay:
    """One line per interval, fit for a log file."""

    def __init__(self, board: Board = AGENT_BOARD) -> None:
        self._board = board
        self._total = 0

    def start(self, title: str, total_steps: int, steps: int) -> None:
        """Print the title."""
        self._total = total_steps
        print(title, flush=True)

    def progress(self, steps: int) -> None:
        """Lines come per interval, not per update."""

    def row(self, row: Mapping[str, float]) -> None:
        """Print the figures one looks at first."""
        speed = row["steps_per_second"]
        left = max(self._total - row["steps"], 0) / speed if speed > 0 else float("nan")
        done = min(row["steps"] / self._total, 1.0)
        figures = self._board.line.format_map({name: _Figure(value) for name, value in row.items()})
        print(f"{row['steps']:>12,.0f} steps ({done:4.0%}) | {figures} | {_duration(left)} left", flush=True)

    def say(self, message: str) -> None:
        """Print the message."""
        print(message, flush=True)

    def stop(self) -> None:
        """Nothing to give back."""


class RichDisplay:
    """A live table at the bottom of the terminal; messages scroll above it.

    Args:
        board: what it shows.
        console: where it is drawn; the terminal unless given.
    """

    _WIDTH_FOR_NOTES = 70

    def __init__(self, board: Board = AGENT_BOARD, console: Console | None = None) -> None:
        self._board = board
        self._console = console or Console()
        self._progress = Progress(
            TextColumn("steps"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f} / {task.total:,.0f}"),
            TextColumn("{task.percentage:.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            expand=True,
        )
        self._title = ""
        self._row: Mapping[str, float] = {}
        self._live = Live(self._picture(), console=self._console, refresh_per_second=4, get_renderable=self._picture)

    def start(self, title: str, total_steps: int, steps: int) -> None:
        """Begin the live table."""
        self._title = title
        self._task = self._progress.add_task("steps", total=total_steps, completed=steps)
        self._live.start()

    def progress(self, steps: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=steps)

    def row(self, row: Mapping[str, float]) -> None:
        """Show new figures."""
        self._row = row

    def say(self, message: str) -> None:
        """Print above the table."""
        self._console.print(message, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def stop(self) -> None:
        """End the live table, leaving its last state on the screen."""
        self._live.stop()

    def _picture(self) -> Panel:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", style="bold", no_wrap=True)
        with_notes = self._console.width >= self._WIDTH_FOR_NOTES
        if with_notes:
            table.add_column(style="dim", no_wrap=True)
        for block in self._board.blocks:
            table.add_row()
            for label, names, form, note in block:
                figures = ", ".join(_figure(self._row.get(name, float("nan")), form) for name in names)
                table.add_row(label, figures, *([note] if with_notes else []))
        return Panel(Group(Text(self._title, style="bold"), self._progress, table))


def make_display(config: RunConfig, board: Board = AGENT_BOARD) -> Display:
    """The display this configuration asks for; ``auto`` is live on a terminal and plain lines elsewhere."""
    kind = config.log.display
    if sys.stdout is None:  # started with its output closed
        kind = "none"
    if kind == "auto":
        kind = "rich" if sys.stdout.isatty() else "plain"
    if kind == "none":
        return NoDisplay()
    return RichDisplay(board) if kind == "rich" else PlainDisplay(board)


class _Figure(float):
    """A number in a line; what is not known yet is a dash."""

    def __format__(self, form: str) -> str:
        if math.isnan(self):
            width = re.match(r">?(\d*)", form)
            return "-".rjust(int(width[1] or 0)) if width else "-"
        return super().__format__(form)


def _figure(value: float, form: str) -> str:
    """A figure as text; one that is not known yet is a dash."""
    return format(_Figure(value), form)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
