"""Which seeds are played where: training and evaluation never meet."""

from __future__ import annotations

import numpy as np

EVALUATION_SEEDS = 2**30
"""Training plays seeds below this number; evaluation starts here, so it never meets a level of training."""


def actor_seed(seed: int, actor: int, generation: int) -> int:
    """Seed of one actor: a function of the run's seed, the actor's number, and how often it was started anew.

    At least 2^20 below `EVALUATION_SEEDS`, because game i of the actor takes this seed + i.
    """
    drawn = np.random.SeedSequence([seed, actor, generation]).generate_state(1, np.uint64)[0]
    return int(drawn % np.uint64(EVALUATION_SEEDS - 2**20))
