from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from rmc_rl.engines.ray_processes import join_ray, make_temporary_folder
from rmc_rl.errors import UserError


def test_folders_of_processes_that_were_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = max(psutil.pids()) + 100_000
    for name in (f"rmc-rl-{gone}-abc", f"rmc-rl-{os.getppid()}-abc", "rmc-rl-notes-abc"):
        (tmp_path / name).mkdir()
    made = Path(make_temporary_folder())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [made.name, f"rmc-rl-{os.getppid()}-abc", "rmc-rl-notes-abc"]
    )
    assert made.name.startswith(f"rmc-rl-{os.getpid()}-")


@pytest.fixture
def nobody() -> str:
    """An address where nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_was_never_started_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"engine\.address=auto, but .*`ray start --head`"):
        join_ray("auto")


def test_auto_is_what_was_started_here_last_or_what_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    """It has gone since; another Ray that runs here is none of ours."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(nobody)
    with pytest.raises(UserError, match=f"no Ray cluster answers at {nobody}"):
        join_ray("auto")
    monkeypatch.setenv("RAY_ADDRESS", nobody.replace("127.0.0.1", "localhost"))
    with pytest.raises(UserError, match="no Ray cluster answers at localhost:"):
        join_ray("auto")


def test_an_address_where_nothing_answers_is_named(nobody: str) -> None:
    with pytest.raises(UserError, match=f"no Ray cluster answers at {nobody}"):
        join_ray(nobody)
