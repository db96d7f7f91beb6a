from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from rmc_rl.profiling import RECORDED, SKIPPED, Profiled


def products(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return [event for event in json.load(file)["traceEvents"] if event.get("name") == "aten::mm"]


def test_a_few_calls_are_traced_with_all_their_threads(tmp_path: Path) -> None:
    path = tmp_path / "profile" / "learner.json.gz"
    profiled = Profiled(path)

    def work(number: int) -> int:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda _: torch.ones(4, 4) @ torch.ones(4, 4), range(2)))
        return number

    calls = SKIPPED + 1 + RECORDED
    assert [profiled(work, number) for number in range(calls + 2)] == list(range(calls + 2))
    found = products(path)
    assert len(found) == 2 * RECORDED
    assert len(list(path.parent.iterdir())) == 1


def test_nothing_is_traced_unless_asked_for(tmp_path: Path) -> None:
    profiled = Profiled(None)
    assert [profiled(abs, -number) for number in range(SKIPPED + RECORDED + 5)] == list(range(SKIPPED + RECORDED + 5))
