"""Play Mini Pacman at random and compare with the figures of the original code.

    python -m rmc_envs.random_policy [--episodes 3000] [--seed 0]

prints, for each task, the mean return with its standard error, the median, and the mean and median length, beside those
of the PillEater code (uniform over the five actions, frame cap 3000, 3000 episodes).
"""

import argparse
from typing import NamedTuple

import gymnasium
import numpy as np

from rmc_envs.random_stream import LARGEST_SEED

GAMES = 100


class Statistics(NamedTuple):
    """What a set of episodes came to."""

    mean_return: float
    return_error: float
    """standard error of the mean return"""
    median_return: float | None
    mean_length: float
    length_error: float | None
    """standard error of the mean length"""
    median_length: float


REFERENCE_EPISODES = 3000
REFERENCE = {
    "regular": Statistics(9.93, 0.20, 8.0, 71, None, 42),
    "avoid": Statistics(-16.92, 0.07, None, 51, None, 43),
    "hunt": Statistics(-20.15, 0.05, None, 50, None, 42),
    "ambush": Statistics(-21.05, 0.04, None, 50, None, 43),
    "rush": Statistics(0.40, 0.06, -0.7, 64, None, 43),
}
"""The original code's figures by task, as published: lengths are rounded, and None stands where none is known."""


def random_episodes(task: str, episodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths (each float64 [episodes]) of uniformly random play.

    Each of 100 games gives its first ``episodes / 100`` whole episodes: taking the first episodes to finish over
    all games would favour short ones.

    Raises:
        ValueError: ``episodes`` is not a positive multiple of 100, or there is no such seed.
    """
    if episodes < GAMES or episodes % GAMES:
        raise ValueError(f"episodes must be a positive multiple of {GAMES}, got {episodes}")
    if not 0 <= seed <= LARGEST_SEED + 1 - GAMES:
        raise ValueError(f"seed must be in 0 .. {LARGEST_SEED + 1 - GAMES}, got {seed}")
    envs = gymnasium.make_vec("rmc_envs:rmc/MiniPacmanViewport-v0", num_envs=GAMES, task=task, copy=False)
    actions = np.random.default_rng(seed)
    envs.reset(seed=seed)
    returns: list[list[float]] = [[] for _ in range(GAMES)]
    lengths: list[list[int]] = [[] for _ in range(GAMES)]
    running_return, running_length = np.zeros(GAMES), np.zeros(GAMES, np.int64)
    begins = np.zeros(GAMES, np.bool_)  # this step only brings the first observation of the next episode
    wanted = episodes // GAMES
    while min(len(finished) for finished in returns) < wanted:
        _, reward, terminated, truncated, _ = envs.step(actions.integers(5, size=GAMES))
        running_return += reward
        running_length += ~begins
        begins = terminated | truncated
        for game in np.flatnonzero(begins):
            returns[game].append(running_return[game])
            lengths[game].append(running_length[game])
            running_return[game] = running_length[game] = 0
    envs.close()
    return (
        np.array([finished[:wanted] for finished in returns]).reshape(-1),
        np.array([finished[:wanted] for finished in lengths], np.float64).reshape(-1),
    )


def statistics(returns: np.ndarray, lengths: np.ndarray) -> Statistics:
    """Means with standard errors, and medians."""
    root = np.sqrt(returns.size)
    return Statistics(
        float(returns.mean()),
        float(returns.std(ddof=1) / root),
        float(np.median(returns)),
        float(lengths.mean()),
        float(lengths.std(ddof=1) / root),
        float(np.median(lengths)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Random play of Mini Pacman beside the original code's figures.")
    parser.add_argument("--episodes", type=int, default=3000, help="per task, a multiple of 100 (default 3000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'task':8} {'return: ours':>22} {'original':>18} {'length: ours':>16} {'original':>10}")
    for task, original in REFERENCE.items():
        try:
            ours = statistics(*random_episodes(task, arguments.episodes, arguments.seed))
        except ValueError as error:
            parser.error(str(error))
        known = "" if original.median_return is None else f" ({original.median_return:g})"
        print(
            f"{task:8} {f'{ours.mean_return:.2f} ± {ours.return_error:.2f} ({ours.median_return:.1f})':>22}"
            f" {f'{original.mean_return:.2f} ± {original.return_error:.2f}{known}':>18}"
            f" {f'{ours.mean_length:.1f} ± {ours.length_error:.1f} ({ours.median_length:g})':>16}"
            f" {f'{original.mean_length:g} ({original.median_length:g})':>10}"
        )
    print("mean ± standard error (median)")


if __name__ == "__main__":
    main()
