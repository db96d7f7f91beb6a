from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from rmc_agents import leaves, map_tree, select


class Pair(NamedTuple):
    first: Any
    second: Any


def test_map_tree_keeps_the_structure() -> None:
    tree = {"a": (1, [2, 3]), "b": Pair(4, {"c": 5})}
    doubled = map_tree(lambda leaf: 2 * leaf, tree)
    assert doubled == {"a": (2, [4, 6]), "b": Pair(8, {"c": 10})}
    assert isinstance(doubled["b"], Pair)
    assert isinstance(doubled["a"][1], list)


def test_map_tree_joins_several_trees() -> None:
    assert map_tree(lambda *leaf: leaf, (1, {"x": 2, "y": 3}), (4, {"y": 6, "x": 5})) == (
        (1, 4),
        {"x": (2, 5), "y": (3, 6)},
    )
    assert map_tree(max, 3, 7) == 7


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((1, 2), (1, 2, 3), "tuple of 2 against tuple of 3"),
        ((1, 2), [1, 2], "tuple of 2 against list of 2"),
        ({"a": 1}, {"b": 1}, r"keys \['a'\] against dict with keys \['b'\]"),
        ((1, (2,)), (1, 2), r"tuple of 1 against leaf \(int\)"),
        (1, (1,), r"leaf \(int\) against tuple of 1"),
        (Pair(1, 2), (1, 2), "Pair of 2 against tuple of 2"),
    ],
)
def test_different_structures_are_refused(first: Any, second: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        map_tree(lambda a, b: a, first, second)


def test_leaves_are_depth_first() -> None:
    assert leaves({"b": (1, [2]), "a": 3}) == [1, 2, 3]
    assert leaves(7) == [7]
    assert leaves(()) == []


def test_select_broadcasts_the_mask_over_leaves_of_any_rank() -> None:
    a = (torch.ones(3), {"m": torch.ones(3, 2, 2)})
    b = (torch.zeros(3), {"m": torch.full((3, 2, 2), torch.nan)})
    vector, nested = select(torch.tensor([True, False, True]), a, b)
    assert vector.tolist() == [1, 0, 1]
    assert nested["m"][[0, 2]].tolist() == [[[1, 1], [1, 1]]] * 2
    assert nested["m"][1].isnan().all()
