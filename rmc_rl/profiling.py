"""Where the time of acting and learning goes: a trace of a few calls of each, by PyTorch's profiler.

``profile=true`` writes ``profile/actor.json.gz`` and ``profile/learner.json.gz`` into the run folder (engine=inline:
``profile/both.json.gz``), once, after the first calls, in which everything is still being set up.
https://ui.perfetto.dev and chrome://tracing open them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, schedule

Result = TypeVar("Result")

SKIPPED, RECORDED = 20, 3
"""Calls before the trace, and calls in it."""


class Profiled:
    """Calls work, and writes a trace of some of the calls.

    Args:
        path: of the trace, whose folder is made; None: nothing is traced. PyTorch traces one thing at a time in a
            process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._left = SKIPPED + 1 + RECORDED  # one more has the profiler set itself up
        self._profiler: profile | None = None

    def __call__(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What ``work`` returns for these arguments."""
        if self._path is None:
            return work(*arguments)
        if self._profiler is None:
            self._profiler = profile(
                activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])],
                schedule=schedule(wait=SKIPPED, warmup=1, active=RECORDED, repeat=1),
                on_trace_ready=self._write,
                # Of the learner's threads too, not of the one alone that asks for it.
                experimental_config=torch._C._profiler._ExperimentalConfig(profile_all_threads=True),
            )
            self._profiler.start()
        result = work(*arguments)
        self._profiler.step()
        self._left -= 1
        if self._left == 0:
            self._profiler.stop()
            self._path = self._profiler = None
        return result

    def _write(self, finished: profile) -> None:
        assert self._path is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        finished.export_chrome_trace(str(self._path))
