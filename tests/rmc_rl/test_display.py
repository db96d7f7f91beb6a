from __future__ import annotations

import io
import math
import sys
import time

import pytest
from rich.console import Console

from rmc_rl.config import make_config
from rmc_rl.display import AGENT_BOARD, Display, NoDisplay, PlainDisplay, RichDisplay, make_display
from rmc_rl.metrics import GLOSSARY

TITLE = "repeat-first · rmc · engine inline · runs/2026-01-02_03-04-05-repeat-first-rmc-0"
ROW: dict[str, float] = {
    **dict.fromkeys(GLOSSARY, 0.0),
    "steps": 250_000,
    "episodes": 4321,
    "return_mean": 12.345,
    "length_mean": 1234.0,
    "policy_loss": -0.0125,
    "value_loss": 0.75,
    "entropy": 1.386,
    "explained_variance": 0.875,
    "grad_norm": 3.25,
    "learning_rate": 2.5e-4,
    "policy_lag": 1.5,
    "env_speed": 5_100_000.0,
    "acting_speed": 40_100.0,
    "learning_speed": 23_200.0,
    "actor_busy": 0.31,
    "memory_mb": 1536.0,
    "dropped_rollouts": 8,
    "steps_per_second": 12_500.0,
    "learner_busy": 0.42,
    "queue": 6,
    "restarts": 7,
}
UNKNOWN = dict.fromkeys(ROW, math.nan) | {"steps": 250_000}


def _rich(width: int) -> tuple[RichDisplay, Console]:
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=True, record=True)
    return RichDisplay(console=console), console


# Plain


def test_a_plain_line_holds_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    display.start(TITLE, 1_000_000, 0)
    display.progress(5)
    display.row(ROW)
    display.say("a message")
    display.stop()
    title, line, message = capsys.readouterr().out.splitlines()
    assert title == TITLE
    assert message == "a message"
    for part in (
        *("250,000 steps ( 25%)", "return    12.35", "length  1,234", "policy -0.013", "value 0.750", "entropy 1.386"),
        *("lag 1.5", "12,500 steps/s", "0:01:00 left"),
    ):
        assert part in line


def test_what_is_not_known_yet_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    display.start(TITLE, 1_000_000, 0)
    display.row(UNKNOWN)
    line = capsys.readouterr().out.splitlines()[1]
    assert "nan" not in line
    assert "return        -" in line
    assert "- steps/s" in line
    assert "? left" in line


@pytest.mark.parametrize(
    ("steps", "speed", "left"),
    [
        (0, 100.0, "2:46:40"),
        (0, 0.1, "2777:46:40"),
        (1_000_000, 5.0, "0:00:00"),
        (1_000_500, 5.0, "0:00:00"),
        (0, 0.0, "?"),
        (0, 1e-320, "?"),
    ],
)
def test_the_time_left(steps: int, speed: float, left: str, capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    display.start(TITLE, 1_000_000, 0)
    display.row({**ROW, "steps": steps, "steps_per_second": speed})
    assert capsys.readouterr().out.rstrip().endswith(f"| {left} left")


def test_plain_lines_stand_below_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    display.start(TITLE, 10_000_000, 0)
    for row in (ROW, UNKNOWN, {**ROW, "steps": 9_999_999, "return_mean": -1234.5}):
        display.row(row)
    lines = capsys.readouterr().out.splitlines()[1:]
    for column in ("| return", "| length", "| policy"):
        assert len({line.index(column) for line in lines}) == 1


# None


def test_no_display_says_messages_on_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    display = NoDisplay()
    display.start(TITLE, 100, 0)
    display.progress(5)
    display.row(ROW)
    display.say("something to know")
    display.stop()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "something to know\n"


# Rich


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_live_table_shows_the_figures_at_any_width(width: int) -> None:
    display, console = _rich(width)
    display.start(TITLE, 1_000_000, 0)
    display.progress(250_000)
    display.row(ROW)
    display.stop()
    text = console.export_text()
    last = text[text.rindex("╭") :]
    for figure in (
        "12.35",
        "1,234, 4,321",
        "12,500",
        "5,100,000",
        "40,100, 23,200",
        "31%, 42%",
        "1.50",
        "7, 8",
        "1,536",
        "-0.0125",
        "0.7500",
        "0.88",
        "1.386",
        "3.25",
    ):
        assert f" {figure} " in last
    for label in ("return", "waiting rollouts", "restarts, drops", "explained variance"):
        assert label in last
    assert all(len(line) <= width for line in last.splitlines())
    if width >= 60:
        assert "250,000 / 1,000,000" in last
        assert " 25% " in last
        assert "runs/2026-01-02_03-04-05-repeat-first-rmc-0" in last
    assert ("mean of the last 100 episodes" in last) == (width >= 70)
    assert len(last.splitlines()) <= 24


def test_every_figure_of_the_live_table_is_in_the_glossary() -> None:
    assert {name for block in AGENT_BOARD.blocks for _, names, _, _ in block for name in names} <= set(GLOSSARY)


def test_before_the_first_line_of_metrics_there_are_dashes() -> None:
    for row in (None, UNKNOWN):
        display, console = _rich(80)
        display.start(TITLE, 1_000_000, 0)
        if row is not None:
            display.row(row)
        display.stop()
        last = console.export_text().rpartition("╭")[2]
        assert "nan" not in last
        assert last.count(" - ") == sum(map(len, AGENT_BOARD.blocks))


def test_a_resumed_run_starts_where_it_was() -> None:
    display, console = _rich(80)
    display.start(TITLE, 1_000, 400)
    display.stop()
    assert "400 / 1,000" in console.export_text()
    display, console = _rich(80)
    display.start(TITLE, 1_000, 0)
    display.progress(1_040)  # the last batch overshoots the budget
    display.stop()
    text = console.export_text()
    assert "1,040 / 1,000" in text
    assert "100%" in text


def test_names_and_messages_are_not_taken_for_markup() -> None:
    display, console = _rich(80)
    display.start("runs/[/]strange[bold]:smile:", 1_000, 0)
    message = "[/nothing] [red]plain[/red] :smile: " + "long" * 40
    display.say(message)
    display.stop()
    text = console.export_text()
    assert "runs/[/]strange[bold]:smile:" in text
    assert message in text  # in one piece, so that a command in it can be copied


def test_the_table_is_drawn_while_training_goes_on() -> None:
    display, console = _rich(80)
    display.start(TITLE, 1_000, 0)
    display.row(ROW)
    for _ in range(1500):
        if "12,500" in console.export_text(clear=False):
            break
        time.sleep(0.02)
    drawn = console.export_text(clear=False)
    display.stop()
    assert "12,500" in drawn


def test_stop_gives_the_terminal_back_even_before_start_and_twice() -> None:
    display, console = _rich(80)
    display.stop()
    display.start(TITLE, 1_000, 0)
    display.stop()
    display.stop()
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor, hidden and shown


# Which one


@pytest.mark.parametrize(
    ("kind", "terminal", "expected"),
    [
        ("auto", True, RichDisplay),
        ("auto", False, PlainDisplay),
        ("rich", False, RichDisplay),
        ("plain", True, PlainDisplay),
        ("none", True, NoDisplay),
    ],
)
def test_the_display_follows_the_terminal_unless_chosen(
    kind: str, terminal: bool, expected: type[Display], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert type(make_display(make_config(f"log.display={kind}"))) is expected
