"""A file in place of a folder stands for what cannot be written: permissions do not stop tests that run as root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmc_rl import run_folder
from rmc_rl.checkpoint import checkpoint_name, save_checkpoint
from rmc_rl.config import Config, make_config, read_config
from rmc_rl.errors import UserError
from rmc_rl.run_folder import RunFolder, create_run_folder, find_run, versions
from tests.leftovers import nothing_is_left


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(f"runs_dir='{tmp_path / 'runs'}'", "seed=3", "core=lstm", "env=repeat-first")


def _run(base: Path, name: str, steps: int | None = 5, when: int | None = None) -> Path:
    path = base / name
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text("seed: 1\n")
    if steps is not None:
        save_checkpoint(path / "checkpoints", checkpoint_name(steps), {"x": np.zeros(1)}, {})
    if when is not None:
        os.utime(path / "checkpoints", (when, when))
    return path


# Making one


def test_a_new_folder_holds_what_is_known_before_training(config: Config) -> None:
    folder = create_run_folder(config)
    try:
        assert folder.path.parent == Path(config.runs_dir)
        assert folder.path.name.endswith("-repeat-first-lstm-3")
        assert folder.checkpoints.is_dir()
        assert read_config(folder.path / "config.yaml") == config
        assert json.loads((folder.path / "versions.json").read_text())["python"] == sys.version.split()[0]
        assert sorted(os.listdir(folder.path)) == ["checkpoints", "config.yaml", "lock", "versions.json"]
    finally:
        folder.close()


def test_runs_of_the_same_second_get_folders_of_their_own(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(run_folder, "datetime", Stopped)
    folders = [create_run_folder(config) for _ in range(3)]
    names = [folder.path.name for folder in folders]
    first = "2026-01-02_03-04-05-repeat-first-lstm-3"
    assert names == [first, f"{first}-2", f"{first}-3"]
    for folder in folders:
        folder.close()


@pytest.mark.parametrize("name", ["a/b", "../../escape", "a\\b"])
def test_a_name_cannot_leave_the_folder_of_runs(name: str, config: Config, tmp_path: Path) -> None:
    config.env.name = name
    with pytest.raises(UserError, match="cannot hold a slash"):
        create_run_folder(config)
    assert list(tmp_path.rglob("config.yaml")) == []


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte"])
def test_a_name_no_file_can_have_is_refused(name: str, config: Config) -> None:
    config.env.name = name
    with pytest.raises(UserError, match="cannot be made"):
        create_run_folder(config)


def test_a_place_that_cannot_be_written_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=f"cannot be made in '{tmp_path / 'runs'}': "):
        create_run_folder(config)
    config.runs_dir = str(tmp_path / "runs" / "below")
    with pytest.raises(UserError, match=r"cannot be made in .*below"):
        create_run_folder(config)


def test_a_failure_gives_the_lock_back(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RunFolder, config: Config) -> None:
        raise UserError("no space")

    monkeypatch.setattr(RunFolder, "write_config", full)
    with pytest.raises(UserError, match="no space"):
        create_run_folder(config)
    (made,) = Path(config.runs_dir).iterdir()
    RunFolder(made).close()


def test_the_configuration_is_replaced_whole_or_not_at_all(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_run_folder(config)
    other = make_config("seed=4")

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(UserError, match=r"config\.yaml cannot be written: No space left"):
            folder.write_config(other)
    assert read_config(folder.path / "config.yaml") == config
    folder.write_config(other)
    assert read_config(folder.path / "config.yaml") == other
    folder.close()


def test_a_link_in_a_strangers_folder_is_not_written_through(config: Config, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = _run(tmp_path, "stranger")
    for name in ("config.yaml", "config.yaml.new", "versions.json", "versions.json.new"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(precious)
    folder = RunFolder(path)
    folder.write_config(config)
    folder.close()
    assert precious.read_text() == "mine"
    assert read_config(path / "config.yaml") == config
    assert not (path / "config.yaml").is_symlink()


# The lock


@contextmanager
def _holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    script = "import sys; from pathlib import Path; from rmc_rl.run_folder import RunFolder\n"
    script += "folder = RunFolder(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()\n"
    command = [sys.executable, "-c", script, path]
    with (
        nothing_is_left(),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_in_use_by_another_process_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    with _holder(tmp_path) as process:
        with pytest.raises(UserError, match=f"the run folder {tmp_path} is in use by another process"):
            RunFolder(tmp_path)
        process.kill()
        process.wait(timeout=60)
        RunFolder(tmp_path).close()


def test_a_folder_in_use_by_this_process_is_refused_until_closed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError, match="in use"):
        RunFolder(tmp_path)
    folder.close()
    folder.close()  # once more does no harm
    RunFolder(tmp_path).close()


def test_the_lock_is_not_inherited_by_programs_started_meanwhile(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    command = [sys.executable, "-c", "print('started', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        child.stdout.readline()
        folder.close()
        RunFolder(tmp_path).close()
        child.kill()


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere cannot be used: No such file"):
        RunFolder(tmp_path / "nowhere")
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match="cannot be used: Is a directory"):
        RunFolder(tmp_path)


# Finding one


def test_a_run_is_found_by_path_by_name_and_as_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "runs"
    older, newer = _run(base, "a", when=1000), _run(base, "b", when=2000)
    _run(base, "c-without-checkpoint", steps=None, when=3000)
    (base / "d-something-else").mkdir()
    (base / "notes.txt").touch()
    assert find_run(str(older), "elsewhere") == older
    assert find_run("a", str(base)) == older
    assert find_run("latest", str(base)) == newer
    os.utime(older / "checkpoints", (4000, 4000))
    assert find_run("latest", str(base)) == older
    monkeypatch.chdir(tmp_path)
    assert find_run("runs/b", "runs") == Path("runs/b")
    assert find_run("b") == Path("runs/b")


@pytest.mark.parametrize("base", ["nowhere", "empty", "file", "unfinished"])
def test_no_run_to_be_the_latest(base: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    _run(tmp_path / "unfinished", "a", steps=None)
    what = "no run with a checkpoint" if base == "unfinished" else "no run"
    with pytest.raises(UserError, match=f"there is {what} in {tmp_path / base}: train first"):
        find_run("latest", str(tmp_path / base))


def test_each_folder_that_is_no_run_says_why(tmp_path: Path) -> None:
    base = str(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "photo.jpg").touch()
    (tmp_path / "file").touch()
    _run(tmp_path, "unfinished", steps=None)
    (tmp_path / "unfinished" / "checkpoints" / ".writing-abc").mkdir()
    for name, message in {
        "nowhere": "nowhere does not exist .run=latest takes the newest",
        "empty": "the folder .*empty is empty",
        "foreign": "foreign is not a run folder of rmc-rl: it holds no config.yaml",
        "file": "file is a file: the folder of a run is needed",
        "unfinished": "unfinished holds no checkpoint, .*: train again, or name another run",
        "": "not a run folder|no checkpoint",
        "x" * 300: "cannot name a run folder",
        "zero\0byte": "cannot name a run folder|does not exist",
        "file/below": "does not exist",
    }.items():
        with pytest.raises(UserError, match=message):
            find_run(name, base)


def test_a_checkpoints_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = _run(tmp_path, "odd", steps=None)
    (path / "checkpoints").rmdir()
    (path / "checkpoints").touch()
    with pytest.raises(UserError, match="holds no checkpoint"):
        find_run("odd", str(tmp_path))


# Versions


def test_versions_say_what_ran() -> None:
    found = versions()
    assert found["torch"]
    assert found["numpy"] == np.__version__
    assert found["command"] == sys.argv
    assert {"rmc-rl", "rmc-envs", "gymnasium", "numba", "ray", "platform", "commit"} <= set(found)
    assert found["cores"] >= 1
    assert {"processor", "gpu"} <= set(found)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("problem", ["missing", "failing"])
def test_versions_without_git(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        if problem == "missing":
            raise FileNotFoundError("git")
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", run)
    assert versions()["commit"] is None
