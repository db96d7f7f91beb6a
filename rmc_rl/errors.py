"""Errors meant for the person at the keyboard.

Anything that bad input can cause is raised as a `UserError`: one message that names the thing and the remedy. The
command line prints it without a traceback and exits with code 1 (`RMC_RL_TRACEBACK=1` shows the traceback).
"""

from __future__ import annotations

import difflib
import functools
import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn


class UserError(Exception):
    """Bad input or a broken surrounding, with a message that says what to do about it."""


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite: the weights before that update are the last good ones."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> str:
    """The known names closest to `word`, as a phrase: ``did you mean 'a' or 'b'?``; all names where none is close."""
    names = sorted(set(choices))
    # A key typed with no section or another one ("num_envs" or "learner.num_envs" for "actor.num_envs") is closest by
    # its last part, however little the whole words resemble one another.
    close = [name for name in names if word and name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    close += [name for name in difflib.get_close_matches(word, names, n=count, cutoff=0.5) if name not in close]
    if close:
        return "did you mean " + " or ".join(f"'{name}'" for name in close[:count]) + "?"
    shown = ", ".join(names[:40]) or "none"
    return f"known are: {shown}{', …' if len(names) > 40 else ''}"


def one_line(error: BaseException) -> str:
    """An error's type and message, for a sentence of ours."""
    return ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))


def exit_with(message: str, code: int = 1) -> NoReturn:
    """Print one message on standard error and leave."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def reports_user_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command's `main`: a `UserError` becomes one line on standard error and exit code 1."""

    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # what the terminal has no letters for ends no run
        try:
            function(*args, **kwargs)
        except UserError as error:
            if os.environ.get("RMC_RL_TRACEBACK"):
                raise
            exit_with(str(error))
        except KeyboardInterrupt:
            exit_with("interrupted", 130)
        except BrokenPipeError:
            # The reader of our output went away (`… | head`): nothing is lost, nothing is left to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None

    return wrapper
