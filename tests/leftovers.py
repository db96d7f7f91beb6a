"""What a run leaves behind on this machine: processes, sockets, shared memory, temporary folders.

A run under watch carries a mark in its environment. Its processes inherit it, however they are started and whoever
adopts them, and the operating system shows it; so another run at the same time is not mistaken for this one.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

MARK = "RMC_RL_WATCHED_RUN"
PATIENCE = 60.0  # seconds: processes that were told to end take a moment, the longer the busier the machine
SHARED_MEMORY = Path("/dev/shm")


class Watch:
    """Over whatever is started while the environment holds the mark, and over this process."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self._before: set[Any] = {*_files(), *_listening(psutil.Process()), *psutil.Process().children()}

    def processes(self) -> list[psutil.Process]:
        """Those of the run that are alive."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def process(self, name: str) -> psutil.Process:
        """The only process of the run whose name begins so."""
        (found,) = [process for process in self.processes() if process.name().startswith(name)]
        return found

    def left(self) -> list[str]:
        """What is there and was not before the watch began, each in words."""
        this = psutil.Process()
        processes = {*self.processes(), *this.children()} - self._before  # a child that nobody waited for has no mark
        lines = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                sockets = ", ".join(_listening(process))
                lines.append(f"process {process.pid} {process.name()}" + f" listening on {sockets}" * bool(sockets))
        lines += [f"socket {socket} of this process" for socket in _listening(this) - self._before]
        return lines + [f"file {path}" for path in _files() - self._before if not _of_others(path, {*processes, this})]


@contextlib.contextmanager
def nothing_is_left(patience: float = PATIENCE) -> Iterator[Watch]:
    """Watch over what the block starts: it is gone soon after the block's end, or the test fails.

    Args:
        patience: seconds until then.
    """
    watch = Watch()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(MARK, watch.mark)
            yield watch
        deadline = time.monotonic() + patience
        while (left := watch.left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, "left behind: " + "; ".join(left)
    finally:
        for process in watch.processes():  # a test that failed does not disturb the next
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _files() -> set[Path]:
    """Shared memory, sockets, and the folders our engine makes; what lies in such a folder goes with it."""
    temporary = Path(tempfile.gettempdir())
    shared = set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()
    return {*shared, *temporary.glob("rmc-rl-*"), *(path for path in temporary.iterdir() if path.is_socket())}


def _listening(process: psutil.Process) -> set[str]:
    """Addresses and paths where others can reach this process."""
    found = set()
    with contextlib.suppress(psutil.AccessDenied):
        for connection in process.net_connections(kind="all"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(f"{connection.laddr.ip}:{connection.laddr.port}")
            elif isinstance(connection.laddr, str) and connection.laddr:
                found.add(connection.laddr)
    return found


def _of_others(path: Path, ours: set[psutil.Process]) -> bool:
    """Whether a process of another run uses this file, or one in this folder."""
    for process in psutil.process_iter():
        if process in ours:
            continue
        with contextlib.suppress(psutil.Error):
            used = {*(file.path for file in [*process.open_files(), *process.memory_maps()]), *_listening(process)}
            if any(Path(file).is_relative_to(path) for file in used):
                return True
    return False
