from __future__ import annotations

from rmc_rl.seeds import EVALUATION_SEEDS, actor_seed


def test_actors_get_seeds_of_their_own_apart_from_evaluation() -> None:
    seeds = {actor_seed(seed, actor, generation) for seed in range(5) for actor in range(20) for generation in range(5)}
    assert len(seeds) == 500
    # Game i of an actor plays seed + i; a million games still stay below the seeds of evaluation.
    assert all(seed >= 0 and seed + 2**20 <= EVALUATION_SEEDS for seed in seeds)


def test_seeds_are_a_function_of_their_arguments() -> None:
    assert actor_seed(3, 2, 1) == actor_seed(3, 2, 1)
