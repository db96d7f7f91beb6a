"""``python -m rmc_rl.watch run=latest``: watch a trained agent play, its memory laid open.

``pretrained=minipacman-viewport`` plays an agent that comes with the package (`python -m rmc_rl.pretrained` lists
them). The episode of seed s is the one that ``python -m rmc_rl.evaluate seed=s`` plays. ``record=out.gif`` (``.mp4``,
``.webm``) writes it to a file instead of a window and needs no display. In the window, h lists the keys.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.policy import Policy, load
from rmc_rl.seeds import EVALUATION_SEEDS
from rmc_rl.viewer.selection import Selection
from rmc_rl.viewer.session import Session
from rmc_rl.viewer.step import Step

if TYPE_CHECKING:
    from rmc_rl.viewer.panels import Panels

WINDOW_SIZE, RECORDING_SIZE = (1280, 720), (960, 540)
SMALLEST_SIZE, LARGEST_SIZE = (320, 240), (7680, 4320)


@dataclass
class WatchOptions:
    """Options of the verb."""

    run: str | None = option(None, "a run folder, or 'latest'; null: latest")
    pretrained: str | None = option(None, "in its place an agent that comes with the package, by its name")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in the run's checkpoints")
    seed: int = option(EVALUATION_SEEDS, "episode i is played from this seed + i", minimum=0)
    greedy: bool = option(False, "take the likeliest action; otherwise actions are sampled")
    speed: float = option(8.0, "steps per second; of a recording, pictures per second")
    episodes: int | None = option(None, "stop after so many; null: a window goes on, a recording holds one", minimum=1)
    max_steps: int | None = option(
        None, "cut an episode short after so many steps; null: play it to its end", minimum=1
    )
    record: str | None = option(None, "write to this file, .gif, .mp4 or .webm, instead of opening a window")
    size: str | None = option(None, "WIDTHxHEIGHT in pixels; null: 1280x720, of a recording 960x540")
    head: str = option("mean", "whose attention is shown: mean, or 1, 2, … for one head's")
    block: int | None = option(None, "which round of attention is shown, from 1; null: the last", minimum=1)
    trust: bool = option(False, "allow the run to name modules that will be imported: their code is run")
    runs_dir: str = option("runs", "where run folders are")


@reports_user_errors
def main() -> None:
    """Open the window or make the recording."""
    options = parse_options(WatchOptions, sys.argv[1:], __doc__ or "")
    size = parse_size(options.size) or (RECORDING_SIZE if options.record is not None else WINDOW_SIZE)
    if not 0.1 <= options.speed <= 1000:
        raise UserError(f"speed={options.speed:g}: from 0.1 to 1000 steps per second")
    if options.seed + (options.episodes or 1) > 2**63:
        raise UserError(f"seed={options.seed} is too large: at most 2^63 less the number of episodes")
    try:
        watch(options, size)
    except KeyboardInterrupt:
        message = "interrupted: nothing was recorded" if options.record is not None else "interrupted"
        print(message, file=sys.stderr)
        raise SystemExit(130) from None


def watch(options: WatchOptions, size: tuple[int, int]) -> None:
    """Do what the options say.

    Raises:
        UserError: the run cannot be played, there is no display, or the recording cannot be written.
    """
    try:
        import pygame  # noqa: F401
    except ImportError as error:
        raise UserError(f"watching needs pygame, which cannot be imported ({error}): pip install pygame") from error
    # These import pygame.
    from rmc_rl.viewer.panels import Caption, Panels
    from rmc_rl.viewer.recorder import check_target

    if options.record is not None:
        check_target(Path(options.record), options.speed)
    torch.set_num_threads(1)  # one observation at a time is too little to share
    policy = load(options.run, options.checkpoint, options.runs_dir, pretrained=options.pretrained, trust=options.trust)
    selection = select(options, policy)
    session = Session(
        policy, seed=options.seed, greedy=options.greedy, max_steps=options.max_steps, trust=options.trust
    )
    try:
        panels = Panels(Caption.of(session), selection)
        if options.record is not None:
            _record(options, size, session, panels)
        else:
            _show(options, size, session, panels)
    finally:
        session.close()


def select(options: WatchOptions, policy: Policy) -> Selection:
    """The attention weights to show.

    Raises:
        UserError: the agent's memory has no such head or block.
    """
    if options.head == "mean" and options.block is None:
        return Selection()
    core = policy.agent.core
    row = torch.zeros(1, 1, core.input_size)
    attention = core.trace(row, core.initial_state(1), torch.ones(1, 1, dtype=torch.bool)).attention
    if attention is None:
        name = "block" if options.head == "mean" else "head"
        raise UserError(f"{name}: the memory of core '{policy.config.core['name']}' does not attend: leave it out")
    blocks, heads = attention.shape[2:4]
    if options.block is not None and options.block > blocks:
        raise UserError(f"block={options.block}: this memory has the blocks 1 to {blocks}")
    if options.head != "mean" and options.head not in map(str, range(1, heads + 1)):
        raise UserError(f"head={options.head}: mean, or one of the heads 1 to {heads}, is needed")
    head = None if options.head == "mean" else int(options.head) - 1
    return Selection(head, None if options.block is None else options.block - 1)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``1280x720`` as numbers; None for None.

    Raises:
        UserError: it is written otherwise, or too small or too large.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None:
        raise UserError(f"size={text}: WIDTHxHEIGHT in pixels is needed, as in size=1280x720")
    size = (int(found[1]), int(found[2]))
    if any(not low <= value <= high for value, low, high in zip(size, SMALLEST_SIZE, LARGEST_SIZE, strict=True)):
        low, high = (f"{width}x{height}" for width, height in (SMALLEST_SIZE, LARGEST_SIZE))
        raise UserError(f"size={text}: from {low} to {high} pixels")
    return size


def _show(options: WatchOptions, size: tuple[int, int], session: Session, panels: Panels) -> None:
    from rmc_rl.viewer.window import Window

    window = Window(session, panels, speed=options.speed, size=size, episodes=options.episodes, ended=_say)
    try:
        window.run()
    finally:
        window.close()


def _record(options: WatchOptions, size: tuple[int, int], session: Session, panels: Panels) -> None:
    from rmc_rl.viewer.recorder import record

    path = Path(options.record or "")
    episodes = options.episodes or 1
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} steps"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=options.max_steps and options.max_steps * episodes)

        def advance(step: Step) -> None:
            words = f"recording episode {step.episode + 1} of {episodes}"
            progress.update(task, description=words, advance=1 if step.number else 0)

        recording = record(session, panels, path, size=size, speed=options.speed, episodes=episodes, progress=advance)
    for step in recording.endings:
        _say(step)
    print(f"{recording.path}: {recording.frames} pictures, {recording.path.stat().st_size / 1e6:.1f} MB")


def _say(step: Step) -> None:
    print(
        f"episode {step.episode + 1} (seed {step.seed}): return {step.episode_return:.2f} in {step.number} steps, "
        f"{step.ending}",
        flush=True,
    )


if __name__ == "__main__":
    main()
