"""How the kernels of all games are compiled."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` so that it lets go of Python's lock; what is compiled is kept on disk for the next process.

    Where there is no folder to keep it in, every process compiles anew, after one warning.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither beside the file nor in the user's own cache folder can numba write
        _warn()
        return njit(nogil=True)(function)


@cache
def _warn() -> None:
    """Say it once."""
    warnings.warn(
        "compiled games cannot be kept, so that every start takes some seconds: "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=3,
    )
