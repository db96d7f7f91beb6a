"""Files that a verb writes: what they may be called, and that they appear under their name when they are complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rmc_rl.errors import UserError


def check_name(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse early what cannot be written.

    Args:
        option: what names the file.
        path: its name.
        suffixes: known ones, two at least.

    Raises:
        UserError: an unknown suffix, or a folder.
    """
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        raise UserError(f"{option}={path}: the name must end in {', '.join(others)} or {last}")
    if path.is_dir():
        raise UserError(f"{option}={path} is a folder: name a file in it")


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A new file beside `path`, renamed to it when the context is left without an error, else removed.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        part = Path(name)
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp makes it for its owner alone
        part.replace(path)
    except OSError as error:
        raise UserError(f"file={path} cannot be written: {error.strerror or error}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
