"""Kernels are kept on disk where that is possible, and work where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rmc_envs import compiling
from rmc_envs.compiling import kernel


def twice(number: int) -> int:
    return 2 * number


def test_a_kernel_is_kept_and_computes_the_same(tmp_path: Path) -> None:
    """In an interpreter of its own: numba reads where to keep things when it is imported."""
    code = "import numpy as np; from rmc_envs.random_stream import seed_stream; seed_stream(np.zeros(4, np.uint64), 1)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert list(tmp_path.rglob("random_stream.seed_stream*.nbc"))


def test_without_a_folder_kernels_compile_after_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = compiling.njit

    def nowhere(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return keeping(**options)

    monkeypatch.setattr(compiling, "njit", nowhere)
    compiling._warn.cache_clear()
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as warned:
        compiled = [kernel(twice), kernel(twice)]
    assert len(warned) == 1
    assert [one(np.int64(21)) for one in compiled] == [42, 42]
