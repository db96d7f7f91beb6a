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


def test_heads_go_round_by_way_of_the_mean(attention: np.ndarray) -> None:
    on = [Selection(block=0)]
    for _ in range(4):
        on.append(on[-1].next_head(attention, 1))
    assert [selection.head for selection in on] == [None, 0, 1, 2, None]
    assert {selection.block for selection in on} == {0}
    assert Selection().next_head(attention, -1).head == 2


def test_a_head_by_its_number(attention: np.ndarray) -> None:
    assert Selection().at_head(attention, 3) == Selection(head=2)
    assert Selection(head=2, block=1).at_head(attention, 0) == Selection(block=1)
    with pytest.raises(ValueError, match="there is no head 4: 1 to 3, 0 for the mean"):
        Selection().at_head(attention, 4)


def test_blocks_go_round(attention: np.ndarray) -> None:
    assert Selection(head=1).next_block(attention) == Selection(head=1, block=0)
    assert Selection(block=0).next_block(attention) == Selection(block=1)
    with pytest.raises(ValueError, match="one block"):
        Selection().next_block(attention[:1])


def test_what_does_not_attend_has_nothing_to_select() -> None:
    for select in (lambda: Selection().next_head(None, 1), lambda: Selection().next_block(None)):
        with pytest.raises(ValueError, match="does not attend"):
            select()
