"""Every code block of README and pages runs, or a line above it says why not; every command is checked.

A page's blocks run in its order and in one folder, which holds a run of two seconds. So that no page takes longer than
its reader's coffee, `shortened` makes training stop early; everything else runs as it stands.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

from rmc_rl.config import TRAIN
from rmc_rl.options import parse_options
from rmc_rl.overrides import check_overrides
from rmc_rl.supervised.config import SUPERVISED
from tests.docs.blocks import PAGES, ROOT, Block, blocks, module_words

BLOCKS = [block for page in PAGES for block in blocks(page)]
SCHEMAS = {"rmc_rl.train": TRAIN, "rmc_rl.supervised": SUPERVISED}
TOO_LONG = 600

OTHER_PROGRAMS = {
    "docker",
    "pip",
    "ray",
    "wandb",
    "export",
    "mkdir",
    "scp",
    "chmod",
    ".",
    "ruff",
    "mypy",
    "mkdocs",
    "bash",
}
"""What may be typed beside Python."""
OTHER_MODULES = {"venv", "pytest", "http.server"}
TESTED_ELSEWHERE = {
    "README.md": "tests/test_readme.py, and its commands .ci/walk.py",
    "docs/own-parts.md": "tests/test_own_parts.py",
}
"""Pages whose blocks another test runs."""
NOT_RUN = {
    "docs/benchmarks.md": ["it takes minutes, and peers are installed"],
    "docs/cluster.md": [
        *(
            "it needs two GPUs",
            "it needs a GPU",
            "it needs Docker",
            "it starts a cluster",
            "it needs a cluster",
            "it needs a cluster",
        ),
        *("it ends a cluster", "it needs a cluster"),
    ],
    "docs/contributing.md": ["it installs", "they are what runs this"],
    "docs/games-elsewhere.md": ["it installs", "it needs sb3-contrib"],
    "docs/games/index.md": ["it opens a window"],
    "docs/index.md": ["it installs", "it opens a window"],
    "docs/page.md": ["npm brings onnxruntime-web", "it serves until it is stopped", "npm brings onnxruntime-web"],
    "docs/paper.md": [*["it takes days"] * 3, "it needs a network and GPUs", "it takes days"],
    "docs/recordings.md": ["it needs an account"],
    "docs/relational-memory.md": ["it takes minutes"],
    "docs/supervised.md": ["it needs texts and a network"],
    "docs/sweeps.md": ["it installs", "it installs", "it needs an account"],
    "docs/wandb.md": ["it needs an account"],
    "docs/watching.md": ["it opens a window"],
    "envs/README.md": ["it installs", "it opens a window"],
}
"""Every block that is not run: a page says why above it, and here they are counted."""


def shortened(module: str, words: list[str], run: str) -> list[str]:
    """Words as they are run: training stops early, in one process; ``<folder>`` is a run that there is."""
    words = [re.sub(r"step-\d+", "latest", word.replace("<folder>", run)) for word in words]
    if module in SCHEMAS or module == "rmc_rl.rllib":
        steps = {"rmc_rl.train": 2000, "rmc_rl.supervised": 4, "rmc_rl.rllib": 1500}[module]
        if any(word.startswith(("resume=", "run=")) for word in words):
            steps *= 2
        words = [*(word for word in words if not word.startswith("total_steps=")), f"total_steps={steps}"]
    if module == "rmc_rl.train" and not any(word.startswith(("engine=", "resume=")) for word in words):
        words.append("engine=inline")
    return words


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of Repeat First in it, and one of Nth Farthest."""
    from rmc_rl.supervised.trainer import train as train_supervised
    from rmc_rl.trainer import train

    runs = tmp_path_factory.mktemp("trained") / "runs"
    words = ["env=repeat-first", "engine=inline", "engine.learner_threads=1", "total_steps=2000", "log.display=none"]
    others = ["wandb=disabled", f"runs_dir={runs}"]
    train_supervised(["total_steps=4", "log.display=none", "evaluation.sequences=100", *others])
    train([*words, "group=first", *others])
    return runs


def test_every_block_is_of_a_known_kind() -> None:
    assert {block.language for block in BLOCKS} == {"python", "bash", "yaml", "text"}
    assert sum(block.language in ("python", "bash") for block in BLOCKS) > 60


def test_nothing_is_skipped_silently() -> None:
    found: dict[str, list[str]] = {}
    for block in BLOCKS:
        if block.not_run is not None:
            assert block.language in ("python", "bash"), "what is not code is not run anyway"
            found.setdefault(block.page, []).append(block.not_run)
    assert found == NOT_RUN
    for page in PAGES:  # none is written so that it is not seen
        assert len(re.findall("^ *<!-- not run", PAGES[page], re.MULTILINE)) == len(NOT_RUN.get(page, [])), page
        assert Counter(re.findall(r"^ *```", PAGES[page], re.MULTILINE)).total() == 2 * len(blocks(page)), page


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "bash" for b in blocks(page))])
def test_commands_name_what_exists(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.file is not None:
            keep(block, tmp_path)
    for block in blocks(page):
        if block.language == "bash":
            for command in block.commands:
                check(command, monkeypatch)


def keep(block: Block, folder: Path) -> None:
    """Write a block to the file that it is to be."""
    assert block.file is not None
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.code)


def check(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key, option and value of a command is one that there is."""
    found = module_words(command)
    if found is None:
        program = next(word for word in command if "=" not in word).rpartition("/")[2]
        assert program in OTHER_PROGRAMS, command
        return
    module, words = found
    if module == "rmc_rl" and words:
        module, words = f"rmc_rl.{words[0]}", words[1:]
    if module in OTHER_MODULES or module == "rmc_rl":
        return
    assert importlib.util.find_spec(module) is not None, module
    words = [re.sub(r"<\w+>", "folder", word) for word in words]
    if "--help" in words:
        return
    if module in SCHEMAS:
        extra = words[words.index("--config-dir") + 1] if "--config-dir" in words else None
        typed = [word for word in words if "=" in word and not word.startswith("hydra")]
        check_overrides(typed, SCHEMAS[module], extra)
    elif module == "rmc_rl.rllib":
        from rmc_rl.rllib.__main__ import check_meaning, read_words

        options, _, others, _ = read_words(words)
        check_meaning(others, options.algorithm)
    elif module.startswith("rmc_rl."):
        inside = f"{module}.__main__"
        loaded = importlib.import_module(
            inside if importlib.util.find_spec(module).submodule_search_locations else module
        )
        (options,) = (
            value
            for name, value in vars(loaded).items()
            if name.endswith("Options") and is_dataclass(value) and value.__module__ == loaded.__name__
        )
        of_task = [word for word in words if module == "rmc_rl.analyse" and word.startswith(("task=", "task."))]
        check_overrides(of_task, SUPERVISED)
        parse_options(options, [word for word in words if word not in of_task], "")
    else:
        parse_alone(module, words, monkeypatch)


class ParsedError(Exception):
    """The words were read without a complaint."""


def parse_alone(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a script read its words, and do nothing of what they say."""
    loaded: Any = importlib.import_module(module)
    read = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any) -> None:
        read(self, *given)
        raise ParsedError

    def begin(*given: Any) -> None:
        raise ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [module, *words])
        if module == "rmc_envs.play":  # which looks into its game's options after the parser is done
            patch.setattr(loaded, "play", begin)
            patch.setattr(loaded, "replay", begin)
        else:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(ParsedError):
            loaded.main()


def test_a_wrong_command_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from rmc_rl.errors import UserError

    for wrong in (
        "rmc_rl.train env=minipackman",
        "rmc_rl.watch run=latest recrod=out.mp4",
        "rmc_rl.rllib algorithm=dqn",
    ):
        with pytest.raises(UserError):
            check(["python", "-m", *wrong.split()], monkeypatch)
    with pytest.raises(SystemExit):
        check(["python", "-m", "benchmarks.soak", "--hours", "1"], monkeypatch)
    with pytest.raises(AssertionError):
        check(["python", "-m", "rmc_rl.trian"], monkeypatch)


def run_blocks(page: str, folder: Path) -> None:
    """A page's blocks, in its order, in a folder that holds the runs."""
    played, asked = sorted((path.name for path in (folder / "runs").iterdir()), key=lambda name: "farthest" in name)
    for block in blocks(page):
        if block.file is not None:
            keep(block, folder)
        elif block.not_run is None and block.language == "python":
            python(folder, "-c", block.code)
        elif block.not_run is None and block.language == "bash":
            for command in block.commands:
                found = module_words(command)
                assert found is not None, command
                module, words = found
                run = asked if module == "rmc_rl.analyse" else played
                python(folder, "-m", module, *shortened(module, words, run))


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The blocks of every page that is asked for, two pages at a time: each process computes on one core."""
    pool = ThreadPoolExecutor(max_workers=2)
    started = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_blocks_run:
            page = item.callspec.params["page"]
            folder = tmp_path_factory.mktemp("page")
            shutil.copytree(trained, folder / "runs")
            started[page] = pool.submit(run_blocks, page, folder)
    yield started
    pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page not in TESTED_ELSEWHERE and any(b.language in ("python", "bash") for b in blocks(page))
    ],
)
def test_blocks_run(page: str, running: dict[str, Future[None]]) -> None:
    running[page].result()


def python(folder: Path, *words: str) -> None:
    """Run Python in a folder, with a core for each process that computes."""
    variables = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "SDL_VIDEODRIVER": "dummy", "RMC_RL_TRACEBACK": ""}
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "agents", "envs"))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | variables | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=TOO_LONG,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
