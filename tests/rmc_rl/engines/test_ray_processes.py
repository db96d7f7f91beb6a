from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from rmc_rl.engines.ray_processes import make_temporary_folder


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
