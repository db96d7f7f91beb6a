"""What a page's folder holds: the page as it lies here, its colours, a model, and onnxruntime-web.

====================  ==========================================================================================
``index.html``        the page; its modules, styles and the games' rules beside it are copied as they are
``palette.css``       the colours of `rmc_rl.palette`
``agent.onnx``        one step of the agent, with attention weights and gates where its memory has them
``agent.json``        what a program must know of it (`rmc_rl.export.metadata`), the game, and who trained it
``ort/``              onnxruntime-web, with its licence
``page.json``         the list of all these, so that the folder can be written anew
====================  ==========================================================================================

The page of Nth Farthest has ``farthest.onnx`` and ``farthest.json`` in the agent's place (`write_farthest_page`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.export import Exported, export
from rmc_rl.page.folder import earlier_page, write_folder
from rmc_rl.page.runtime import runtime_files
from rmc_rl.policy import Policy
from rmc_rl.seeds import EVALUATION_SEEDS

HERE = Path(__file__).resolve().parent
GAMES = (
    "rmc/BoxWorld-v0",
    "rmc/BoxWorldViewport-v0",
    "rmc/MiniPacman-v0",
    "rmc/MiniPacmanViewport-v0",
    "rmc/RepeatFirst-v0",
)
"""The games whose rules ``games/index.js`` knows."""

OF_AGENTS = {"index.html", "main.js", "sees.js", "timeline.js"}
OF_FARTHEST = {"farthest.html", "farthest.js", "question.js"}
"""Files that one page has and the other has not; the games, too, are of agents alone."""

COLOURS = ("ground", "card", "track", "text", "quiet", "blue", "orange", "vermilion", "yellow")
"""Those of `rmc_rl.palette` that the page has."""


def write_page(
    policy: Policy,
    folder: Path,
    *,
    onnxruntime_web: str | None = None,
    trust: bool = False,
    progress: Callable[[str], None] = lambda words: None,
) -> Exported:
    """Write the page in which an agent plays in the visitor's browser.

    Args:
        policy: whose agent.
        folder: a new one, or that of an earlier page.
        onnxruntime_web: as :func:`rmc_rl.page.runtime.runtime_files` takes it.
        trust: whether the environment id may name a module that is none of ours.
        progress: told what is being done.

    Raises:
        UserError: a game whose rules the page does not know, or one seen through wrappers; an agent that cannot be
            exported; no onnxruntime-web; or a folder that cannot be written or holds something else.
    """
    game = _game(policy)
    earlier_page(folder)  # before anything takes its time
    runtime = runtime_files(onnxruntime_web, progress)
    with tempfile.TemporaryDirectory(prefix="rmc-rl-") as place:
        exported = export(policy, Path(place) / "agent.onnx", trace=True, trust=trust, progress=progress)
        model = exported.path.read_bytes()
    about = exported.record | {
        "name": policy.config.env.name or game["id"],
        "game": game,
        "first_seed": EVALUATION_SEEDS,
    }
    progress("writing the folder")
    size = _write(folder, agent_page_files(), "agent", model, about, runtime)
    return Exported(folder, size, exported.difference, about)


def write_farthest_page(
    folder: Path,
    model: bytes,
    about: Mapping[str, Any],
    *,
    onnxruntime_web: str | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> int:
    """Write the page of Nth Farthest, in which a memory answers the visitor's questions; returns its size in bytes.

    Args:
        folder: a new one, or that of an earlier page.
        model: an ONNX graph of one step of core and head: from ``input`` float32 [1, I], a row of
            `rmc_rl.supervised.tasks.nth_farthest`, and the memory's leaves to ``logits`` [1, N], the leaves as
            ``next_…`` and, of a core that attends, ``attention`` [1, blocks, heads, rows, rows + 1], ``input_gate`` and
            ``forget_gate``.
        about: ``core`` (its name), ``steps`` (it was trained for), ``num_vectors``, ``dimensions``, ``inputs`` and
            ``outputs`` (the graph's names), ``initial_state`` (nested lists of one item by name).
        onnxruntime_web: as :func:`rmc_rl.page.runtime.runtime_files` takes it.
        progress: told what is being done.

    Raises:
        UserError: no onnxruntime-web, or a folder that cannot be written or holds something else.
    """
    earlier_page(folder)
    runtime = runtime_files(onnxruntime_web, progress)
    return _write(folder, farthest_page_files(), "farthest", model, about, runtime)


def _write(
    folder: Path,
    page: Mapping[str, bytes],
    name: str,
    model: bytes,
    about: Mapping[str, Any],
    runtime: Mapping[str, bytes],
) -> int:
    waited_for = len(model) + len(runtime["ort-wasm.bin"])
    files = {f"ort/{name}": data for name, data in runtime.items()} | {
        f"{name}.onnx": model,
        f"{name}.json": json.dumps({**about, "bytes": waited_for}, allow_nan=False).encode(),
        "palette.css": palette_css().encode(),
    }
    return write_folder(folder, {**page, **files})


def agent_page_files() -> dict[str, bytes]:
    """The page of agents as it lies here."""
    return {name: data for name, data in _files_here().items() if name not in OF_FARTHEST}


def farthest_page_files() -> dict[str, bytes]:
    """The page of Nth Farthest as it lies here."""
    files = _files_here()
    kept = {name: files[name] for name in files if name not in OF_AGENTS and not name.startswith("games/")}
    return kept | {"index.html": kept.pop("farthest.html")}


def _files_here() -> dict[str, bytes]:
    found = [path for pattern in ("*.html", "*.css", "*.js", "*.svg", "games/*.js") for path in HERE.glob(pattern)]
    return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in found}


def palette_css() -> str:
    """The colours of `rmc_rl.palette` as CSS variables, and what the page's heat maps have for 0."""
    colours = {name: getattr(palette, name.upper()) for name in COLOURS} | {
        f"heat-{name}": tuple(palette.heat(np.array([value]), 1.0)[0].tolist())
        for name, value in (("negative", -1.0), ("zero", 0.0), ("positive", 1.0))
    }
    lines = [f"  --{name}: #{red:02x}{green:02x}{blue:02x};" for name, (red, green, blue) in colours.items()]
    return "\n".join([":root {", *lines, "}", ""])


def _game(policy: Policy) -> dict[str, Any]:
    """What the page makes its game of."""
    env = policy.config.env
    name = env.id.rpartition(":")[2]
    if name not in GAMES:
        raise UserError(
            f"a page needs the rules of the game in JavaScript, and has none of '{env.id}': it knows "
            f"{', '.join(GAMES)}; an .onnx file can be written of any agent (format=onnx)"
        )
    if env.wrappers:
        raise UserError(
            f"the agent of {policy.run} sees {name} through wrappers (env.wrappers={list(env.wrappers)}), which a page "
            "does not have: train without them, or write an .onnx file (format=onnx)"
        )
    return {"id": name, "kwargs": dict(env.kwargs)}
