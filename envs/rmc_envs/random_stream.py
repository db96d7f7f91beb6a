"""One small random stream per game, kept in the game's own state.

Every draw of a game comes from a ``uint64 [4]`` array in its state: a xoshiro256++ generator (Blackman and Vigna),
filled from the game's 64-bit seed by splitmix64, so that neighbouring seeds give unrelated streams. A game therefore
depends on its seed and its actions alone, not on the batch it plays in, and saving the array saves the dice.

These functions are compiled into the kernels that call them. Numba's cache knows a kernel by the date of its own file
only: after editing this file, or another that kernels take functions or tables from, delete ``__pycache__``.
"""

import numpy as np
from numba import njit

from rmc_envs.compiling import kernel

STREAM_WORDS = 4
"""64-bit words of generator state per game."""

LARGEST_SEED = 2**64 - 1

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S17, _S23, _S27, _S30, _S31, _S32, _S45, _S64 = (np.uint64(s) for s in (17, 23, 27, 30, 31, 32, 45, 64))
_S11 = np.uint64(11)
_UNIT = 2.0**-53


@kernel
def seed_stream(stream: np.ndarray, seed: np.uint64) -> None:
    """Fill ``stream`` from a 64-bit seed by four steps of splitmix64."""
    counter = np.uint64(seed)
    for word in range(STREAM_WORDS):
        counter += _GOLDEN_GAMMA
        mixed = (counter ^ (counter >> _S30)) * _MIX_1
        mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
        stream[word] = mixed ^ (mixed >> _S31)


@njit(inline="always")
def _rotate_left(word: np.uint64, shift: np.uint64) -> np.uint64:
    return (word << shift) | (word >> (_S64 - shift))


@kernel
def next_word(stream: np.ndarray) -> np.uint64:
    """The next 64 random bits (xoshiro256++)."""
    a, b, c, d = stream[0], stream[1], stream[2], stream[3]
    result = _rotate_left(a + d, _S23) + a
    shifted = b << _S17
    c ^= a
    d ^= b
    stream[1] = b ^ c
    stream[0] = a ^ d
    stream[2] = c ^ shifted
    stream[3] = _rotate_left(d, _S45)
    return result


@kernel
def uniform(stream: np.ndarray) -> float:
    """A float64 uniform over [0, 1), from the 53 high bits."""
    return (next_word(stream) >> _S11) * _UNIT


@kernel
def below(stream: np.ndarray, count: int) -> np.int64:
    """An integer uniform over ``0 .. count - 1``; for counts under a million the bias is under 2**-12 of a part."""
    return np.int64(((next_word(stream) >> _S32) * np.uint64(count)) >> _S32)
