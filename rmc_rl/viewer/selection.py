"""Which of a memory's attention weights are looked at."""

from __future__ import annotations

from dataclasses import dataclass

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
