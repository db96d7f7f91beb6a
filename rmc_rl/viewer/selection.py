"""Which of a memory's attention weights are looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Selection:
    """Which attention weights are shown.

    Attributes:
        head: from 0; None: the mean of all heads.
        block: the round of attention, from 0; None: the last one.
    """

    head: int | None = None
    block: int | None = None

    def weights(self, attention: np.ndarray) -> np.ndarray:
        """[rows, rows + inputs] of [blocks, heads, rows, rows + inputs]."""
        block = attention[-1 if self.block is None else min(self.block, len(attention) - 1)]
        return block.mean(axis=0) if self.head is None else block[min(self.head, len(block) - 1)]

    def at_head(self, attention: np.ndarray | None, number: int) -> Selection:
        """Head `number` of 1 … H, or 0 for the mean of all.

        Raises:
            ValueError: there is no such head.
        """
        heads = _counted(attention)[1]
        if number > heads:
            raise ValueError(f"there is no head {number}: 1 to {heads}, 0 for the mean of all")
        return replace(self, head=number - 1 if number else None)

    def next_head(self, attention: np.ndarray | None, by: int) -> Selection:
        """The head so many further on, round and round; the mean of all comes before the first."""
        heads = _counted(attention)[1]
        number = 0 if self.head is None else self.head + 1
        return self.at_head(attention, (number + by) % (heads + 1))

    def next_block(self, attention: np.ndarray | None) -> Selection:
        """The next round of attention; after the last one the first.

        Raises:
            ValueError: there is only one.
        """
        blocks = _counted(attention)[0]
        if blocks == 1:
            raise ValueError("this memory has one block of attention")
        return replace(self, block=((blocks - 1 if self.block is None else self.block) + 1) % blocks)


def _counted(attention: np.ndarray | None) -> tuple[int, int]:
    """How many blocks and heads there are.

    Raises:
        ValueError: none, because the memory does not attend.
    """
    if attention is None:
        raise ValueError("this memory does not attend")
    return attention.shape[0], attention.shape[1]
