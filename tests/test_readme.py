"""The README's code runs as it stands, and its commands name what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[-1][:40] for block in BLOCKS])
def test_python_blocks_run_when_pasted(block: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 4
    assert any("rmc_rl.load" in block for block in BLOCKS)


def test_the_memory_learns_where_an_lstm_stood(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "torch.nn.LSTM" in block)
    seeded = block.replace("import torch\n", "import torch\ntorch.manual_seed(0)\n")
    done = subprocess.run([sys.executable, "-c", seeded], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = re.fullmatch(r"loss (\d\.\d\d), by guessing 1\.39\n", done.stdout)
    assert found is not None
    assert float(found[1]) < 0.5


def test_each_set_up_is_a_single_line_in_an_environment_of_its_own() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith(".venv/bin/python -m rmc_rl.train env=minipacman-viewport")
    assert lines[1].endswith(".venv/bin/python -m pytest")
    assert all("-c constraints.txt" in line and "-e envs" in line for line in lines)


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_named_keys_are_known() -> None:
    from rmc_rl.config import TRAIN
    from rmc_rl.overrides import check_overrides

    words = re.findall(r"`([a-z_.]+=[^`…<]+)`", README)
    others = ("run=", "record=", "episodes=", "key=value")  # of other verbs, or of none
    typed = [[part for part in word.split() if not part.startswith(others)] for word in words]
    assert sum(map(len, typed)) > 10
    for together in typed:  # a group that is chosen in one place changes the keys there
        check_overrides(together, TRAIN)


def test_torch_is_pinned_for_the_tests() -> None:
    assert re.search(r"^torch==\d", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
