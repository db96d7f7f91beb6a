from itertools import pairwise

import numpy as np
import pytest

from rmc_envs.random_stream import STREAM_WORDS, below, next_word, seed_stream, uniform

MASK = 2**64 - 1


def slow_seed(seed: int) -> list[int]:
    """Splitmix64 in plain integers."""
    words = []
    for _ in range(STREAM_WORDS):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        words.append(mixed ^ (mixed >> 31))
    return words


def slow_next(words: list[int]) -> int:
    """xoshiro256++ in plain integers."""

    def rotate(word: int, shift: int) -> int:
        return ((word << shift) | (word >> (64 - shift))) & MASK

    result = (rotate((words[0] + words[3]) & MASK, 23) + words[0]) & MASK
    shifted = (words[1] << 17) & MASK
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = rotate(words[3], 45)
    return result


def seeded(seed: int) -> np.ndarray:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    seed_stream(stream, np.uint64(seed))
    return stream


@pytest.mark.parametrize("seed", [0, 1, 2**63, MASK])
def test_words_are_those_of_the_definition(seed: int) -> None:
    stream, words = seeded(seed), slow_seed(seed)
    assert stream.tolist() == words
    for _ in range(100):
        assert int(next_word(stream)) == slow_next(words)


def test_splitmix_published_values() -> None:
    # the first outputs for seed 1234567, as printed with the generator's reference implementation
    assert seeded(1234567).tolist()[:3] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_uniform_is_the_high_bits_over_the_unit_interval() -> None:
    stream, words = seeded(5), slow_seed(5)
    values = [uniform(stream) for _ in range(2000)]
    assert values == [(slow_next(words) >> 11) / 2**53 for _ in range(2000)]
    assert 0.0 <= min(values) < 0.01 < 0.99 < max(values) < 1.0


@pytest.mark.parametrize("count", [1, 2, 5, 138])
def test_below_is_uniform(count: int) -> None:
    stream = seeded(9)
    draws = np.bincount([below(stream, count) for _ in range(400 * count)], minlength=count)
    assert draws.size == count
    # the sum of squared deviations over the expectation has mean count - 1 and variance 2 (count - 1)
    chi_squared = ((draws - 400) ** 2 / 400).sum()
    assert abs(chi_squared - (count - 1)) <= 4 * np.sqrt(2 * (count - 1))


def test_neighbouring_seeds_give_unrelated_streams() -> None:
    firsts = [int(next_word(seeded(seed))) for seed in range(1000)]
    assert len(set(firsts)) == 1000
    ones = np.mean([bin(a ^ b).count("1") for a, b in pairwise(firsts)])
    assert abs(ones - 32) < 0.6
