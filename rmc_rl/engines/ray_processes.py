"""Ray itself: started for one run alone and stopped with everything it started, or a running cluster that is joined."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

# Read when ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray on Linux replaces the loopback address by the machine's own; this is the switch of the other systems, where it
# stays on the loopback address.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Ray keeps a record of every task for its dashboard: several kilobytes an update, and a third of a small one's time.
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
# What went wrong in a process is the engine's to say.
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a process without a GPU keeps its CUDA variables
import ray
from ray._private import services

from rmc_rl.building import available_cores
from rmc_rl.config import Config
from rmc_rl.errors import UserError

LOOPBACK = "127.0.0.1"
CLOSE_SECONDS = 5.0
ANSWER_SECONDS = 5.0


def _processes_of_ray(temporary: str) -> list[psutil.Process]:
    """Those started with an option that names Ray's temporary folder, and all they started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word.startswith("-") and temporary in word for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


def stop_ray(temporary: str) -> None:
    """Stop Ray with all its processes and remove its temporary folder; Ctrl-C does not cut it short."""
    with _undisturbed():
        processes = _processes_of_ray(temporary)
        try:
            ray.shutdown()
        finally:
            # Under load some outlive Ray's patience, and Ray does not know those of a start that was interrupted.
            processes += _processes_of_ray(temporary)
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(processes, timeout=CLOSE_SECONDS)
            shutil.rmtree(temporary, ignore_errors=True)  # now that nobody writes there


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C has no effect meanwhile: half a shutdown leaves processes and files behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)


def make_temporary_folder() -> str:
    """A folder for Ray's sockets and logs, named by this process; those of processes killed outright are removed.

    It cannot lie in the run folder: the path of a socket is limited to about a hundred characters.
    """
    for left in Path(tempfile.gettempdir()).glob("rmc-rl-*-*"):
        owner = left.name.split("-")[2]
        with contextlib.suppress(OSError):  # another run may be removing it too
            if owner.isdigit() and not psutil.pid_exists(int(owner)) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"rmc-rl-{os.getpid()}-")


def start_ray(config: Config, num_actors: int, learner_threads: int, temporary: str) -> None:
    """Start Ray for this run alone: on the loopback address, without dashboard, with a stated object store.

    Raises:
        UserError: Ray is running in this process already, or does not start.
    """
    needed = num_actors * config.engine.actor_threads + learner_threads
    try:
        with _process_groups_of_their_own():
            _connect(
                address="local",
                num_cpus=max(needed, available_cores()),
                object_store_memory=config.engine.object_store_mb * 2**20,
                include_dashboard=False,
                _node_ip_address=LOOPBACK,
                _temp_dir=temporary,
            )
    except Exception as error:
        raise UserError(f"Ray does not start ({error}): engine=inline trains without it") from error
    address = ray.util.get_node_ip_address()
    if address != LOOPBACK:
        raise UserError(
            f"Ray would listen on {address}, open to the network, because ray was imported before rmc_rl: "
            "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 in the environment, or use engine=inline"
        )


def join_ray(address: str) -> None:
    """Connect to a running cluster, of which this machine is a node.

    Args:
        address: host:port, or ``auto``: RAY_ADDRESS, or where ``ray start`` was last called for on this machine. What
            Ray itself means by ``auto`` may be the Ray of another run.

    Raises:
        UserError: there is no such cluster, or it does not let this process in.
    """
    if address == "auto":
        found = os.environ.get("RAY_ADDRESS") or services.find_bootstrap_address(None)
        if found is None:
            raise UserError(
                "engine.address=auto, but `ray start` has started nothing on this machine: start a cluster with "
                "`ray start --head`, name one by engine.address=host:port, or leave engine.address out"
            )
        address = found
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:  # Ray would try for two minutes, and then end this process
        raise UserError(f"no Ray cluster answers at {address} ({error}): `ray status` says whether it runs") from error
    try:
        _connect(address=address)
    except Exception as error:
        if "uthenticat" in f"{error} {error.__cause__}":
            remedy = "it wants RAY_AUTH_MODE=token in the environment, and its token in ~/.ray/auth_token"
        else:
            remedy = f"this machine must be a node of it, `ray start --address={address}`"
        what = str(error).partition(". ")[0]
        raise UserError(f"the Ray cluster at {address} cannot be joined ({what}): {remedy}") from error


def leave_ray(processes: Iterable[Any]) -> None:
    """End these processes of ours and disconnect from the cluster, which goes on; Ctrl-C does not cut it short."""
    with _undisturbed():
        for process in processes:
            ray.kill(process)
        ray.shutdown()


def cluster_cpus() -> list[float]:
    """CPUs of each node that is there."""
    return [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]


def _connect(**arguments: Any) -> None:
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)  # Ray puts its own in place, which leaves without saving


@contextlib.contextmanager
def _process_groups_of_their_own() -> Iterator[None]:
    """Keep Ray's daemons, and with them every actor, out of this process's group.

    Ctrl-C in a terminal, `timeout` and most job managers signal the whole group. The daemons would stop at SIGTERM
    before the learner's state could be saved, and take this process with them. Ray has no setting for it; where its
    internals have changed, only that protection is lost. They still die with this process, however it ends
    (killed outright: two of Ray's agents a minute later).
    """
    internals: Any = services
    popen = getattr(internals, "ConsolePopen", None)
    if popen is None or os.name != "posix":
        yield
        return
    internals.ConsolePopen = functools.partial(popen, process_group=0)
    try:
        yield
    finally:
        internals.ConsolePopen = popen
