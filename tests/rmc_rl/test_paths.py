"""Both layouts are made for real: the package is copied and asked in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import rmc_rl
from rmc_rl.config import make_config
from rmc_rl.paths import config_dir

PACKAGE = Path(rmc_rl.__file__).parent
ASK = "from rmc_rl.paths import config_dir; print(config_dir())"


def _copy(where: Path) -> Path:
    """What is needed of the package to ask it for its configuration."""
    package = where / "rmc_rl"
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "paths.py", "config.py", "overrides.py", "schema.py"):
        shutil.copy(PACKAGE / name, package)
    return package


def _ask(where: Path, script: str) -> subprocess.CompletedProcess[str]:
    # Only the copy can be imported as rmc_rl: isolated mode ignores PYTHONPATH and the working directory.
    started = (
        f"import sys; sys.path.insert(0, {str(where)!r}); import rmc_rl; assert {str(where)!r} in rmc_rl.__file__\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", started + script], cwd=where, capture_output=True, text=True, timeout=120
    )


def test_this_installation_finds_its_configuration() -> None:
    assert (config_dir() / "train.yaml").is_file()
    assert {"env", "core", "engine"} <= {path.name for path in config_dir().iterdir()}


def test_an_installed_package_reads_the_configuration_inside_it(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    shutil.copytree(config_dir(), package / "configs")
    script = "from rmc_rl import config, schema; print(schema.to_yaml(config.make_config('seed=3')))"
    asked = _ask(tmp_path, ASK + "\n" + script)
    assert asked.returncode == 0, asked.stderr
    first, _, text = asked.stdout.partition("\n")
    assert first == str(package / "configs")
    assert "seed: 3" in text


def test_a_checkout_wins_over_a_copy_inside_the_package(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    shutil.copytree(config_dir(), package / "configs")
    shutil.copytree(config_dir(), tmp_path / "configs")
    (tmp_path / "pyproject.toml").touch()
    assert _ask(tmp_path, ASK).stdout.strip() == str(tmp_path / "configs")


def test_a_folder_called_configs_beside_an_installed_package_is_a_strangers(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    shutil.copytree(config_dir(), package / "configs")
    shutil.copytree(config_dir(), tmp_path / "configs")  # no pyproject.toml: this is no checkout
    assert _ask(tmp_path, ASK).stdout.strip() == str(package / "configs")


def test_a_package_without_configuration_says_so(tmp_path: Path) -> None:
    _copy(tmp_path)
    asked = _ask(tmp_path, ASK)
    assert asked.returncode != 0
    assert "UserError: the configuration files of rmc-rl are missing" in asked.stderr
    assert "install rmc-rl again" in asked.stderr


def test_the_working_directory_does_not_matter(tmp_path: Path) -> None:
    before, here = make_config(), Path.cwd()
    os.chdir(tmp_path)
    try:
        assert make_config() == before
    finally:
        os.chdir(here)
