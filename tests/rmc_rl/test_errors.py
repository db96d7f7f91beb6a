from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rmc_rl.config import TRAIN
from rmc_rl.errors import NonFiniteLossError, UserError, exit_with, nearest, one_line, reports_user_errors

KEYS = [key for key, _ in TRAIN.describe()]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("learner.learningrate", "learner.learning_rate"),
        ("learning_rate", "learner.learning_rate"),  # the section left out
        ("learner.num_envs", "actor.num_envs"),  # another section
        ("actor.entropy_cost", "learner.entropy_cost"),
        ("totalsteps", "total_steps"),
        ("sead", "seed"),
    ],
)
def test_nearest_puts_what_was_meant_first(word: str, first: str) -> None:
    assert nearest(word, KEYS).startswith(f"did you mean '{first}'")


def test_nearest_names_at_most_count() -> None:
    assert nearest("aaa", ["aaab", "aaac", "aaad", "aaae"], count=2).count("'") == 4
    assert nearest("x", ["a.x", "b.x", "c.x", "d.x"], count=3).count("'") == 6


def test_nearest_lists_what_is_known_when_nothing_is_close() -> None:
    assert nearest("zzz", ["beta", "alpha", "alpha"]) == "known are: alpha, beta"
    assert nearest("zzz", []) == "known are: none"
    assert nearest("", ["alpha"]) == "known are: alpha"


def test_nearest_cuts_a_long_list() -> None:
    names = [f"name{number:03d}" for number in range(100)]
    text = nearest("zzz", names)
    assert "name039" in text
    assert "name040" not in text
    assert text.endswith("…")


def test_exit_with_says_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        exit_with("no such run", code=3)
    captured = capsys.readouterr()
    assert stopped.value.code == 3
    assert captured.err == "error: no such run\n"
    assert captured.out == ""


@pytest.mark.parametrize("error", [UserError("the disk is full"), NonFiniteLossError("the disk is full")])
def test_a_user_error_becomes_one_line_and_exit_code_1(
    error: UserError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RMC_RL_TRACEBACK", raising=False)

    @reports_user_errors
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        command()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: the disk is full\n"


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMC_RL_TRACEBACK", "1")

    @reports_user_errors
    def command() -> None:
        raise UserError("broken")

    with pytest.raises(UserError, match="broken"):
        command()


def test_other_errors_are_not_swallowed() -> None:
    @reports_user_errors
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_arguments_reach_the_command() -> None:
    seen = []

    @reports_user_errors
    def command(number: int, *, word: str) -> None:
        seen.append((number, word))

    command(1, word="a")
    assert seen == [(1, "a")]
    assert command.__name__ == "command"


def test_a_reader_that_went_away_is_no_traceback() -> None:
    script = (
        "import sys\n"
        "from rmc_rl.errors import reports_user_errors\n"
        "@reports_user_errors\n"
        "def main():\n"
        "    while True: print('line')\n"
        "main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        errors = command.stderr.read()
        assert command.wait(timeout=60) == 1
    assert errors == b""


def test_a_terminal_without_our_letters_is_no_traceback() -> None:
    script = (
        "from rmc_rl.errors import UserError, reports_user_errors\n"
        "@reports_user_errors\n"
        "def main():\n"
        "    print('100 \u2013 200 \u00b7 \u2026')\n"
        "    raise UserError('na\u00efve')\n"
        "main()\n"
    )
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ascii_only, check=False)
    assert done.stdout == "100 ? 200 ? ?\n"
    assert done.stderr == "error: na?ve\n"
    assert done.returncode == 1


def test_ctrl_c_anywhere_is_a_word_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    @reports_user_errors
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as leaving:
        interrupted()
    assert leaving.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_another_ones_error_is_one_line() -> None:
    assert one_line(OSError("no display\n  was found")) == "OSError: no display was found"
    assert one_line(AssertionError()) == "AssertionError"
