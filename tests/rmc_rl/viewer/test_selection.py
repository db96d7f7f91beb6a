from __future__ import annotations

import numpy as np
import pytest

from rmc_rl.viewer.selection import Selection


@pytest.fixture
def attention() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(5), (2, 3, 4))


def test_the_mean_of_the_last_block_comes_first(attention: np.ndarray) -> None:
    np.testing.assert_array_equal(Selection().weights(attention), attention[1].mean(0))


def test_a_head_of_a_block(attention: np.ndarray) -> None:
    np.testing.assert_array_equal(Selection(head=2, block=0).weights(attention), attention[0, 2])


def test_what_another_core_does_not_have_is_its_last(attention: np.ndarray) -> None:
    np.testing.assert_array_equal(Selection(head=7, block=9).weights(attention), attention[1, 2])
