from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from tests import leftovers
from tests.leftovers import nothing_is_left

# Each leaves what its name says, and ends. {0} is a name that no other file has.
LEAVING = {
    "process": """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
""",
    "listening": """
import subprocess, sys
script = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True).stdout.readline()
""",
    "socket file": """
import os, socket, tempfile
os.chdir(tempfile.gettempdir())
socket.socket(socket.AF_UNIX).bind("{0}")
""",
    "shared memory": "from pathlib import Path; Path('/dev/shm/{0}').touch()",
    "folder": "import os, tempfile; os.mkdir(tempfile.gettempdir() + '/rmc-rl-' + str(os.getpid()) + '-{0}')",
    "nothing": "",
}
SAID = {
    "process": r"process \d+ python\S*$",
    "listening": r"process \d+ python\S* listening on 127\.0\.0\.1:\d+$",
    "socket file": "file .*{0}$",
    "shared memory": "file /dev/shm/{0}$",
    "folder": "file .*/rmc-rl-.*-{0}$",
}


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex[:8]


def start(what: str, name: str) -> None:
    subprocess.run([sys.executable, "-c", LEAVING[what].format(name)], check=True, timeout=60)


def zombie() -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    return child


@pytest.mark.parametrize("what", SAID)
def test_whatever_is_left_is_named(what: str, name: str) -> None:
    try:
        with pytest.raises(AssertionError, match=SAID[what].format(name)), nothing_is_left(patience=0.2) as watch:
            start(what, name)
        psutil.wait_procs(watch.processes(), timeout=10)
        assert watch.processes() == [], "the next test is not disturbed"
    finally:
        (leftovers.SHARED_MEMORY / name).unlink(missing_ok=True)


def test_a_socket_this_process_keeps_open_is_named() -> None:
    with pytest.raises(AssertionError, match=r"socket 127\.0\.0\.1:\d+ of this process"), nothing_is_left(0.2):
        server = socket.create_server(("127.0.0.1", 0))
    server.close()


def test_a_child_nobody_waited_for_is_named() -> None:
    with pytest.raises(AssertionError, match=r"process \d+"), nothing_is_left(0.2):
        child = zombie()
    child.wait()


def test_what_was_there_before_and_what_ends_in_time_is_nothing(name: str) -> None:
    for what in ("socket file", "folder", "nothing"):
        start(what, name)
    with nothing_is_left() as watch:
        start("nothing", name)
        slow = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])"
        subprocess.run([sys.executable, "-c", slow], check=True, timeout=60)
        assert len(watch.processes()) == 1


def test_what_another_run_uses_is_not_taken_for_ours(name: str, tmp_path: Path) -> None:
    shared, folder = leftovers.SHARED_MEMORY / name, tmp_path / f"rmc-rl-1-{name}"
    script = (
        "import mmap, os, socket, sys\n"
        "input()\n"
        "file = open(sys.argv[1], 'w+b'); file.truncate(10); memory = mmap.mmap(file.fileno(), 10); file.close()\n"
        "os.mkdir(sys.argv[2]); server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[2] + '/s')\n"
        "print(flush=True); input()\n"
    )
    command = [sys.executable, "-c", script, str(shared), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            with nothing_is_left(0.2):
                other.stdin.write("\n")
                other.stdin.flush()
                other.stdout.readline()
                assert shared.exists()
                assert folder.exists()
        finally:
            other.kill()
            shared.unlink()
