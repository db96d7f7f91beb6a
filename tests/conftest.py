"""Both distributions as users get them, for the tests that run where nothing of the checkout lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).parent.parent


class Distributions(NamedTuple):
    """Files of both distributions.

    Attributes:
        sources: of each distribution the unpacked source archive, by its name.
        packages: a folder with both wheels installed; their dependencies are this Python's.
    """

    sources: dict[str, Path]
    packages: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Source archives built from the checkout, wheels built from the archives alone, without a network."""
    place = tmp_path_factory.mktemp("distributions")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    sources = {}
    for name, folder in {"rmc-rl": CHECKOUT, "rmc-envs": CHECKOUT / "envs"}.items():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(place / "archives")]
        subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=300)
        (archive,) = (place / "archives").glob(f"{name.replace('-', '_')}-*.tar.gz")
        subprocess.run(["tar", "-xf", str(archive), "-C", str(place)], check=True, timeout=60)
        sources[name] = place / archive.name.removesuffix(".tar.gz")
    wheels, packages = place / "wheels", place / "packages"
    offline = ["--no-deps", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([*pip, "wheel", *offline, *map(str, sources.values())], check=True, capture_output=True, timeout=300)
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(packages), *map(str, wheels.glob("*.whl"))]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    return Distributions(sources, packages)
