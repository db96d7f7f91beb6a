"""The peers of the throughput benchmark: where each of them lives, and how one is measured.

RLlib is installed with the project and runs in its process (`benchmarks.peer_rllib`). The others ask for an older
Gymnasium and NumPy than the project's, so each gets a virtual environment of its own, made once below the user's cache
folder, and runs in a process of its own. They import and work with the project's versions, too: these are installed,
so that games, torch and NumPy are the same for all.

On a machine busy with other work, a peer of two threads can lose nearly all its speed waiting for the thread that does
not run: ``OMP_WAIT_POLICY=PASSIVE`` in the environment prevents that. Figures count on an idle machine only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rmc_agents.observations import observation_to_json
from rmc_rl.config import Config
from rmc_rl.errors import UserError
from rmc_rl.spaces import Interface

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rmc-rl-peers"
SHARED_PACKAGES = ("gymnasium", "numba", "numpy", "torch")
"""What games and agents import, in the versions of constraints.txt."""
WARM_UP_SECONDS = 5.0
START_SECONDS = 300.0
"""How long a peer may take besides its measurement: Sample Factory waits for ever where a part of it died."""


@dataclass(frozen=True)
class Peer:
    """A framework in a virtual environment of its own.

    Attributes:
        title: its name, for people.
        package: what to install, without the dependencies it names: it forbids our Gymnasium and NumPy.
        version: which.
        needs: what it imports besides `SHARED_PACKAGES`.
        build: what its installation imports.
        variables: for the installation's environment.
        builtins: names that its installation reads and nothing sets, with the values they should have had.
    """

    title: str
    package: str
    version: str
    needs: tuple[str, ...]
    build: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    builtins: tuple[tuple[str, Any], ...] = ()

    def folder(self) -> Path:
        """Its virtual environment; another one for other versions."""
        everything = json.dumps([asdict(self), _shared_requirements(), sys.version])
        return CACHE / f"{self.package}-{self.version}-{hashlib.sha256(everything.encode()).hexdigest()[:8]}"


PEERS = {
    "pufferlib": Peer(
        title="PufferLib",
        package="pufferlib",
        version="3.0.0",
        needs=(
            *("cloudpickle==3.1.2", "gym==0.23.0", "pettingzoo==1.24.1", "psutil==7.2.2", "pyro-ppl==1.9.2"),
            *("rich==15.0.0", "rich-argparse==1.8.0"),
        ),
        build=("Cython==3.3.1", "setuptools==84.2.1", "wheel==0.48.0"),
        # Without PufferLib's own games, for which its installation would fetch libraries. What it reads in that case:
        variables=(("NO_OCEAN", "1"),),
        builtins=(("c_extension_paths", []),),
    ),
    "sample-factory": Peer(
        title="Sample Factory",
        package="sample-factory",
        version="2.1.1",
        needs=(
            *("colorlog==6.12.0", "faster-fifo==1.5.2", "huggingface_hub==0.36.2", "opencv-python==4.11.0.86"),
            *("psutil==7.2.2", "pyglet==2.1.19", "signal-slot-mp==1.0.5", "tensorboard==2.21.0", "tensorboardX==2.6.5"),
            *("threadpoolctl==3.8.0", "wandb==0.31.0"),
        ),
    ),
    "sb3": Peer(
        title="Stable-Baselines3 contrib",
        package="sb3-contrib",
        version="2.9.2",
        needs=("cloudpickle==3.1.2", "stable-baselines3==2.9.2"),
    ),
}

NAMES = ("rllib", *PEERS)

SAME_SIZES: dict[str, tuple[str, ...]] = {
    "rllib": ("core.hidden_size=256", "agent.torso=mlp", "+agent.torso_options.hidden_sizes=[256,256]"),
    "pufferlib": ("core.hidden_size=128", "agent.torso=mlp", "+agent.torso_options.hidden_sizes=[128]"),
    "sample-factory": ("core.hidden_size=256", "agent.torso=mlp", "+agent.torso_options.hidden_sizes=[256,256]"),
    "sb3": ("core.hidden_size=256", "agent.torso=mlp", "+agent.torso_options.hidden_sizes=[64,64]"),
}
"""Our LSTM agent in the sizes of each peer's own recurrent policy."""


def measure(
    name: str, config: Config, found: Interface, compare: str, settings: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Measure a peer.

    Args:
        name: one of `NAMES`.
        config: the run whose game, torso and core it gets.
        found: what an agent must know of that game.
        compare: "rmc": our torso and core in the peer, step by step; "lstm": the peer's own recurrent policy.
        settings: other values of the peer's settings than those found best; its script lists them.
        seconds: length of the measurement.

    Returns:
        ``name``, ``version``, ``steps_per_second`` and ``settings``.

    Raises:
        UserError: the peer cannot be installed, or it failed.
    """
    if name == "rllib":
        from benchmarks import peer_rllib

        return {"name": name, **peer_rllib.measure(config, found, compare, settings, seconds)}
    request = {
        "env": {"id": config.env.id, "kwargs": config.env.kwargs},
        "observation": observation_to_json(found.observation),
        "core": config.core,
        "torso": config.agent.torso,
        "torso_options": config.agent.torso_options,
        "compare": compare,
        "settings": settings,
        "warm_up": WARM_UP_SECONDS,
        "seconds": seconds,
    }
    peer = PEERS[name]
    python = _python(peer)
    with tempfile.TemporaryDirectory(prefix="rmc-rl-peer-") as folder:  # peers leave files where they are started
        answer = Path(folder, "answer.json")
        output = _run(
            [python, "-m", f"benchmarks.peer_{name.replace('-', '_')}", answer],
            # No GPU: all are compared on the processor.
            {"PYTHONPATH": os.pathsep.join(map(str, _import_path())), "CUDA_VISIBLE_DEVICES": ""},
            folder,
            json.dumps(request),
            START_SECONDS + WARM_UP_SECONDS + seconds,
        )
        if not answer.exists():
            raise UserError(f"{peer.title} failed; the end of what it said:\n{_end(output)}")
        return {"name": name, "version": peer.version, **json.loads(answer.read_text())}


def _import_path() -> list[Path]:
    return [CHECKOUT, CHECKOUT / "envs", CHECKOUT / "agents"]


def _shared_requirements() -> list[str]:
    """`SHARED_PACKAGES` as constraints.txt has them. An exact torch: any other may bring gigabytes for GPUs."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower(): line for line in lines if "==" in line}
    return [pinned[name] for name in SHARED_PACKAGES]


def _python(peer: Peer) -> Path:
    """The interpreter of the peer's virtual environment, which is made where it is missing."""
    folder = peer.folder()
    python = folder / "bin" / "python"
    finished = folder / "finished"
    if finished.exists():
        return python
    print(f"{peer.title} {peer.version}: installing it into {folder} (once; takes minutes)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _install([sys.executable, "-m", "venv", folder], peer)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    needed = [*_shared_requirements(), *peer.needs, *peer.build]
    _install([*pip, "--constraint", CHECKOUT / "constraints.txt", *needed], peer)
    with tempfile.TemporaryDirectory(prefix="rmc-rl-peer-") as temporary:
        lines = [f"import builtins; builtins.{name} = {value!r}" for name, value in peer.builtins]
        Path(temporary, "sitecustomize.py").write_text("\n".join(lines))
        variables = {"PYTHONPATH": temporary, "PATH": _path_without_nvcc(Path(temporary)), **dict(peer.variables)}
        alone = ["--no-deps", *(["--no-build-isolation"] if peer.build else [])]
        _install([*pip, *alone, f"{peer.package}=={peer.version}"], peer, variables)
    finished.touch()
    return python


def _path_without_nvcc(folder: Path) -> str:
    """The search path without CUDA's compiler: where there is one, PufferLib builds for GPUs and needs such a torch."""
    places = []
    for number, place in enumerate(os.environ.get("PATH", "").split(os.pathsep)):
        if not Path(place, "nvcc").exists():
            places.append(place)
            continue
        links = folder / f"programs-{number}"
        links.mkdir()
        for program in Path(place).iterdir():
            if program.name != "nvcc":
                (links / program.name).symlink_to(program)
        places.append(str(links))
    return os.pathsep.join(places)


def _install(command: list[Any], peer: Peer, variables: dict[str, str] | None = None) -> None:
    """Run a step of an installation.

    Raises:
        UserError: it failed.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (variables or {})
    done = subprocess.run(
        list(map(str, command)), env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise UserError(f"{peer.title} cannot be installed; the end of what pip said:\n{_end(done.stdout)}")


def _run(command: list[Any], variables: dict[str, str], folder: str, text: str, seconds: float) -> str:
    """What the command prints; it and all below it are ended after `seconds`."""
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        return process.communicate(text, timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\nended after {seconds:.0f} seconds without an answer"
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _end(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-20:])
