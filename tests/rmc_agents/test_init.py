from __future__ import annotations

import ast
import sys
from pathlib import Path

import rmc_agents


def test_the_package_knows_torch_only() -> None:
    """Agents are built below the games and the framework: neither may be imported here, nor anything but PyTorch."""
    allowed = {"torch", "rmc_agents", *sys.stdlib_module_names}
    files = sorted(Path(next(iter(rmc_agents.__path__))).rglob("*.py"))
    assert len(files) >= 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                modules = [node.module or ""]
            else:
                continue
            assert {module.split(".")[0] for module in modules} <= allowed, file.name


def test_public_names_exist() -> None:
    assert sorted(rmc_agents.__all__) == sorted(set(rmc_agents.__all__))
    for name in rmc_agents.__all__:
        assert getattr(rmc_agents, name) is not None
