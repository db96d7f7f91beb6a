"""``python -m rmc_rl.evaluate run=latest episodes=200``: how good is a trained agent?

Episode i is played from seed base + i to its end, whichever ends first: counting the first N episodes to finish would
favour short ones. Every episode draws its actions from a random stream of its own, so its course does not depend on
which others are played beside it. Training never plays these seeds.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from rich.console import Console
from rich.progress import Progress

from rmc_rl.building import available_cores
from rmc_rl.environment import make_vector
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.policy import Policy, PolicyState, action_streams, load
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.shares import Share, independent
from rmc_rl.spaces import interface

GAMES_AT_ONCE = 256
NOISE_BLOCK = 64
MODES = ("sampled", "greedy")
SOLVED_FIGURES = {"solved": "share", "solved_low": "low", "solved_high": "high"}
"""Names in the JSON, and those of a `Share`: its interval is of 95 %."""


@dataclass
class EvaluateOptions:
    """Options of the verb."""

    run: str | None = option(None, "a run folder, or 'latest'; null: latest")
    pretrained: str | None = option(None, "in its place an agent that comes with the package, by its name")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in the run's checkpoints")
    episodes: int = option(200, "episodes played in each mode", minimum=1)
    mode: str = option("both", "how actions are chosen", choices=("both", *MODES))
    solved: float | None = option(
        None, "also the share of episodes with a return of at least this; in BoxWorld 10: the gem was reached"
    )
    seed: int = option(
        EVALUATION_SEEDS, "episode i is played from this seed + i; training stays below the default", minimum=0
    )
    json: bool = option(False, "print the result as one JSON object on the last line")
    trust: bool = option(False, "allow the run to name modules that will be imported: their code is run")
    runs_dir: str = option("runs", "where run folders are")


@dataclass(frozen=True)
class Evaluation:
    """Returns and lengths of the episodes, in the order of their seeds."""

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def mean(self) -> float:
        """Mean undiscounted return."""
        return float(self.returns.mean())

    @property
    def ci95(self) -> float:
        """Half the width of the mean's 95 % confidence interval (normal approximation); infinite for one episode."""
        count = len(self.returns)
        return float(1.96 * self.returns.std(ddof=1) / np.sqrt(count)) if count > 1 else float("inf")

    def solved(self, threshold: float) -> Share:
        """The episodes with a return of at least ``threshold``."""
        return independent(torch.from_numpy(self.returns >= threshold))


def evaluate(
    policy: Policy,
    episodes: int,
    *,
    greedy: bool,
    seed: int = EVALUATION_SEEDS,
    trust: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Play `episodes` whole episodes, up to 256 side by side.

    Args:
        policy: who plays.
        episodes: how many.
        greedy: take the likeliest action; otherwise sample.
        seed: episode i starts from seed + i.
        trust: whether the environment id may name a module.
        advance: told how many episodes have just ended.

    Raises:
        UserError: the environment cannot be made or does not fit the agent.
    """
    parts = []
    # With a process for each, more games than cores gain nothing, and hundreds are more than memory holds.
    at_once = 2 * available_cores() if policy.config.env.vectorization == "async" else GAMES_AT_ONCE
    for first in range(0, episodes, at_once):
        count = min(at_once, episodes - first)
        parts.append(_play(policy, count, seed + first, greedy, trust, advance))
    return Evaluation(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _play(
    policy: Policy, count: int, seed: int, greedy: bool, trust: bool, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    seeds = [seed + i for i in range(count)]
    streams = action_streams(seeds)
    env, observation = _start(policy, seeds, trust)
    state = policy.initial_state(count)
    reset = np.ones(count, bool)
    reward = np.zeros(count, np.float32)
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    playing = np.ones(count, bool)
    step = 0
    while playing.any():
        if not greedy and step % NOISE_BLOCK == 0:
            shape = NOISE_BLOCK, policy.agent.actions.num_quantiles
            noise = np.stack([stream.random(shape) for stream in streams])  # [B, NOISE_BLOCK, Q]
        thought = policy.think(observation, state, reset, reward)
        action = policy.choose(thought, None if greedy else noise[:, step % NOISE_BLOCK])
        observation, reward, terminated, truncated, _ = env.step(action)
        returns += np.where(playing, reward, 0.0)
        lengths += playing
        ended = playing & (terminated | truncated)
        if ended.any():
            advance(int(ended.sum()))
        playing = playing & ~ended  # a game that goes on after its episode is played but no longer counted
        state = PolicyState(thought.core, action)
        reset = np.zeros(count, bool)
        step += 1
    env.close()
    return returns, lengths


def _start(policy: Policy, seeds: list[int], trust: bool) -> tuple[VectorEnv, np.ndarray]:
    """An environment for each seed, and the first observations."""
    for native in (True, False):
        env = make_vector(policy.config.env, len(seeds), trust=trust, native=native)
        policy.require(interface(env))
        try:
            return env, env.reset(seed=seeds)[0]  # type: ignore[arg-type]  # a list is taken, the hint does not say so
        except (TypeError, ValueError, gymnasium.error.Error):
            # Some native batches have one random stream for all games: then each game gets an environment of its own.
            env.close()
            if not native:
                raise
    raise AssertionError


def evaluate_modes(
    policy: Policy,
    modes: Sequence[str],
    episodes: int,
    seed: int,
    console: Console,
    *,
    solved: float | None = None,
    trust: bool = False,
) -> dict[str, float | int | None]:
    """Evaluate in each mode (sampled, greedy), say how it went, and return the figures by their names in the JSON.

    With ``solved`` they tell too how many episodes had a return of at least this.

    Raises:
        UserError: as `evaluate`, and when it is interrupted.
    """
    result: dict[str, float | int | None] = {}
    try:
        for mode in modes:
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task(mode, total=episodes)
                found = evaluate(
                    policy,
                    episodes,
                    greedy=mode == "greedy",
                    seed=seed,
                    trust=trust,
                    advance=functools.partial(progress.advance, task),
                )
            share = None if solved is None else found.solved(solved)
            print(
                f"{mode:>8}: return {found.mean:.2f}{_margin(found)}, median "
                f"{np.median(found.returns):.2f}, length {found.lengths.mean():.0f}, {episodes} episodes"
                + ("" if share is None else ", {} solved (95 %: {})".format(*share.words)),
                flush=True,
            )
            result |= {
                f"mean_return_{mode}": found.mean,
                f"ci95_return_{mode}": found.ci95 if episodes > 1 else None,
                f"median_return_{mode}": float(np.median(found.returns)),
                f"mean_length_{mode}": float(found.lengths.mean()),
            }
            if share is not None:
                result |= {f"{name}_{mode}": share.as_json()[of] for name, of in SOLVED_FIGURES.items()}
    except KeyboardInterrupt:
        raise UserError("interrupted: no figures for the mode that was being played") from None
    return result | {"episodes": episodes, "seed": seed, "steps": policy.progress.steps}


def _margin(found: Evaluation) -> str:
    return f" ± {found.ci95:.2f} (95 % of the mean)" if len(found.returns) > 1 else ""


@reports_user_errors
def main() -> None:
    """Evaluate, show the figures, and print JSON where asked for."""
    options = parse_options(EvaluateOptions, sys.argv[1:], __doc__ or "")
    if options.seed + options.episodes > 2**63:
        raise UserError(f"seed={options.seed} is too large: at most 2^63 less the number of episodes")
    policy = load(options.run, options.checkpoint, options.runs_dir, pretrained=options.pretrained, trust=options.trust)
    console = Console(stderr=True)
    console.print(f"{policy.run} after {policy.progress.steps:,} steps", highlight=False, soft_wrap=True)
    modes = MODES if options.mode == "both" else (options.mode,)
    result = evaluate_modes(
        policy, modes, options.episodes, options.seed, console, solved=options.solved, trust=options.trust
    )
    if options.json:
        print(json.dumps(result | {"run": str(policy.run)}, allow_nan=False))


if __name__ == "__main__":
    main()
