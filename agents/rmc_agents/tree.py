"""Trees of tensors: nested tuples, lists and dicts whose leaves are anything else.

A core's memory is such a tree of ``[B, ...]`` tensors (one tensor for the relational memory, a pair for the LSTM), and
whoever stores, moves or resets a memory does it through these few functions without knowing its structure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Tree = Any
"""A leaf, or a tuple, named tuple, list or dict of trees."""

_NODES = (tuple, list, dict)


def map_tree(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Apply ``function`` to the leaves of one tree, or to the corresponding leaves of several trees of one structure.

    Returns a tree of the same structure. Raises ``ValueError`` where the structures differ.
    """
    first = trees[0]
    if len(trees) > 1:
        structure = _structure(first)
        for other in trees[1:]:
            if _structure(other) != structure:
                raise ValueError(f"trees differ in structure: {_describe(first)} against {_describe(other)}")
    if not isinstance(first, _NODES):
        return function(*trees)
    if isinstance(first, dict):
        return {key: map_tree(function, *(tree[key] for tree in trees)) for key in first}
    children = [map_tree(function, *parts) for parts in zip(*trees, strict=True)]
    if hasattr(first, "_make"):  # a named tuple takes its fields one by one, not as one sequence
        return first._make(children)
    return type(first)(children)


def leaves(tree: Tree) -> list[Any]:
    """All leaves, depth first; a dict's in its insertion order."""
    collected: list[Any] = []
    map_tree(collected.append, tree)
    return collected


def select(mask: Tensor, a_tree: Tree, b_tree: Tree) -> Tree:
    """Leaves of ``a_tree`` where ``mask`` holds, of ``b_tree`` elsewhere.

    ``mask`` is bool ``[B]``, the leaves are ``[B, ...]``. The other branch's values, be they NaN, have no influence.
    """

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(mask.reshape(-1, *[1] * (a.dim() - 1)), a, b)

    return map_tree(choose, a_tree, b_tree)


def _structure(tree: Tree) -> Any:
    """What must agree between trees at this node; a dict's keys count, not the order of their insertion."""
    if not isinstance(tree, _NODES):
        return "leaf"
    return type(tree), tree.keys() if isinstance(tree, dict) else len(tree)


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"dict with keys {sorted(map(str, tree))}"
    if isinstance(tree, tuple | list):
        return f"{type(tree).__name__} of {len(tree)}"
    return f"leaf ({type(tree).__name__})"
