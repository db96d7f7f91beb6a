from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import rmc_agents


def test_the_package_knows_torch_only() -> None:
    """Agents are built below the games and the framework: neither may be imported here, nor anything but PyTorch.

    The fast path alone uses numba and its arrays, and is imported only where numba is.
    """
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
            extra = {"numpy", "numba"} if file.parent.name == "fast" else set()
            assert {module.split(".")[0] for module in modules} <= allowed | extra, file.name


def test_public_names_exist() -> None:
    assert sorted(rmc_agents.__all__) == sorted(set(rmc_agents.__all__))
    for name in rmc_agents.__all__:
        assert getattr(rmc_agents, name) is not None


def test_a_core_is_known_by_its_file_being_there(tmp_path: Path) -> None:
    shutil.copytree(Path(rmc_agents.__file__).parent, tmp_path / "rmc_agents")
    (tmp_path / "rmc_agents" / "average.py").write_text(
        "from rmc_agents.lstm import LSTMCore\n"
        "from rmc_agents.registry import register_core\n"
        "@register_core('average')\n"
        "class AverageCore(LSTMCore): ...\n"
    )
    code = "from rmc_agents import *; print(*core_names(), make_core('average', 3, hidden_size=5).output_size)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [*sorted(["average", *rmc_agents.core_names()]), "5"]
