"""Make a page for each game from its class docstring, with a moving picture of it.

    python docs/make_games.py [--no-pictures]

writes ``docs/games/<name>.md`` and ``docs/images/<name>.gif``. The pictures show scripted players that read the game's
state, of which an agent sees a part. Everything in them follows from a seed.
"""

from __future__ import annotations

import argparse
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from rmc_envs import pixels
from rmc_envs.boxworld import kernels as boxworld
from rmc_envs.boxworld import levels
from rmc_envs.catalogue import SHORT_NAMES, environment_class
from rmc_envs.minipacman import maze
from rmc_envs.minipacman.kernels import GONE

DOCS = Path(__file__).parent
PAGES, IMAGES = DOCS / "games", DOCS / "images"

FRAME_SECONDS, LAST_SECONDS = 0.12, 1.5
"""So long a frame is shown, and the last one of an episode."""
COLOURS = 128
SEEN_WIDTH, GAP = 190, 16
"""Pixels of the picture of what the agent sees, at most, and around it."""

State = Mapping[str, np.ndarray]
"""The arrays of ``get_state`` for one game, without the axis that counts games."""


class Way(NamedTuple):
    """A shortest way to a cell."""

    steps: int
    action: int
    """the first one"""


def explore(
    starts: Iterable[Any],
    beside: Callable[[Any], Mapping[Any, int]],
    may_enter: Callable[[Any, int], bool] = lambda cell, steps: True,
) -> dict[Any, Way]:
    """The way to every cell that can be reached from the nearest start.

    Arguments:
        starts: cells; staying there is action 0.
        beside: the cells next to a cell, and the actions that lead there.
        may_enter: whether a cell can be entered after so many steps.
    """
    ways = {start: Way(0, 0) for start in starts}
    queue = deque(ways)
    while queue:
        cell = queue.popleft()
        steps = ways[cell].steps + 1
        for neighbour, action in beside(cell).items():
            if neighbour not in ways and may_enter(neighbour, steps):
                ways[neighbour] = Way(steps, action if steps == 1 else ways[cell].action)
                queue.append(neighbour)
    return ways


def eat_and_flee(state: State) -> int:
    """Mini Pacman: on to the nearest food or pill by ways on which no ghost can come first; else away from the ghosts.

    While power lasts, ghosts near enough are hunted.
    """
    pacman, power = int(state["pacman"]), int(state["power"])
    ghosts = state["ghosts"][: int(state["num_ghosts"])].tolist()
    from_ghosts = explore(ghosts, _corridors)

    def is_safe(cell: int, steps: int) -> bool:
        return steps < power or cell not in from_ghosts or steps < from_ghosts[cell].steps

    ways = explore([pacman], _corridors, is_safe)
    food = [cell for cell in maze.OPEN_CELLS.tolist() if state["ground"][cell] == maze.FOOD]
    pills = [pill for pill in state["pills"].tolist() if pill != GONE]
    prey = [ghost for ghost in ghosts if ghost in ways and 2 * ways[ghost].steps < power]
    aims = [cell for cell in prey or food + pills if cell in ways]
    if aims:
        return min(ways[cell] for cell in aims).action
    return max(_corridors(pacman).items(), key=lambda way: from_ghosts[way[0]].steps)[1]


def _corridors(cell: int) -> dict[int, int]:
    """The open cells beside a cell of the maze, and the actions that lead there."""
    return {
        cell + int(maze.DIRECTION_STEP[direction]): direction + 1
        for direction in range(4)
        if maze.EXITS[cell, direction]
    }


def solve(state: State) -> int:
    """BoxWorld: with a key on to the lock of its colour, without one on to the key or gem that lies open.

    No distractor is ever opened, so all that lies open belongs to the solution.
    """
    board, held = state["board"], int(state["held"])
    if held != boxworld.NO_KEY:
        aims = np.argwhere(board == levels.LOCKS + held)
    else:
        contents = (board >= levels.GEM) & (board < levels.LOCKS)
        boxed = np.roll(board >= levels.LOCKS, -1, axis=1)
        aims = np.argwhere(contents & ~boxed)
    targets = {(row, column) for row, column in aims.tolist()}

    def is_free(cell: tuple[int, int], steps: int) -> bool:
        return cell in targets or board[cell] == levels.EMPTY

    here = int(state["agent_row"]), int(state["agent_column"])
    ways = explore([here], _neighbours, is_free)
    return min(ways[cell] for cell in targets if cell in ways).action


def _neighbours(cell: tuple[int, int]) -> dict[tuple[int, int], int]:
    """The four cells beside a cell of the room, and the actions that lead there."""
    moves = zip(boxworld.ACTION_ROW.tolist(), boxworld.ACTION_COLUMN.tolist(), strict=True)
    return {(cell[0] + row, cell[1] + column): action for action, (row, column) in enumerate(moves)}


def remember(state: State) -> int:
    """Repeat First: the target."""
    return int(state["target"])


class Scene(NamedTuple):
    """What the moving picture of a game shows."""

    policy: Callable[[State], int]
    seed: int
    episodes: int
    caption: str
    most_steps: int = 80
    """of an episode"""
    options: Mapping[str, Any] = {}


FOUR_BOXES = {"solution_length": (4, 4), "num_distractors": (3, 3)}
THREE_GHOSTS = {"level": 5}
TWO_VIEWS = "on the left as people see it, on the right what the agent sees"
SCENES = {
    "boxworld": Scene(solve, 0, 2, f"A script opens the four boxes of two levels, {TWO_VIEWS}", options=FOUR_BOXES),
    "boxworld-viewport": Scene(
        solve, 4, 2, f"A script that knows the whole room, {TWO_VIEWS}, with its key below", options=FOUR_BOXES
    ),
    "minipacman": Scene(
        eat_and_flee, 27, 1, f"A script on level 5 eats and keeps out of the way, {TWO_VIEWS}", options=THREE_GHOSTS
    ),
    "minipacman-viewport": Scene(
        eat_and_flee, 20, 1, f"A script that knows the whole maze on level 5, {TWO_VIEWS}", options=THREE_GHOSTS
    ),
    "repeat-first": Scene(remember, 0, 3, "The agent sees the lit symbol and is to name the one with the bar"),
}
"""The scene of each game by its short name."""


def play(name: str) -> Iterator[tuple[np.ndarray, float, bool]]:
    """Every moment of a game's scene: picture, uint8 [height, width, 3], reward, and whether the episode stops here."""
    scene = SCENES[name]
    env = environment_class(SHORT_NAMES[name])(render_mode="rgb_array", **scene.options)
    for episode in range(scene.episodes):
        observation, _ = env.reset(seed=scene.seed if episode == 0 else None)
        yield _compose(env.render(), observation), 0.0, False
        for step in range(1, scene.most_steps + 1):
            state = {field: array[0] for field, array in env.get_state().items()}
            observation, reward, terminated, truncated, _ = env.step(scene.policy(state))
            ends = terminated or truncated
            yield _compose(env.render(), observation), reward, ends or step == scene.most_steps
            if ends:
                break
    env.close()


def _compose(frame: np.ndarray, observation: np.ndarray) -> np.ndarray:
    """The frame and, where an agent sees a picture, that picture to the right of it.

    Planes 3 to 5 of an observation, a colour, become a bar below the picture. A frame alone is enlarged.
    """
    if observation.ndim != 3:
        return frame.repeat(2, axis=0).repeat(2, axis=1)
    seen = observation[..., :3]
    if observation.shape[-1] == 6:
        seen = np.concatenate([seen, pixels.canvas(1, seen.shape[1]), observation[:1, :, 3:]])
    factor = max(1, SEEN_WIDTH // seen.shape[1])
    seen = seen.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = frame.shape[0], frame.shape[1] + seen.shape[1] + 2 * GAP
    picture = pixels.canvas(height, width)
    picture[:, : frame.shape[1]] = frame
    top = (height - seen.shape[0]) // 2
    picture[top : top + seen.shape[0], frame.shape[1] + GAP : width - GAP] = seen
    return picture


def write_picture(name: str) -> None:
    """Write a game's moving picture."""
    frames, _, ends = zip(*play(name), strict=True)
    sample = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 12)]))
    # One palette for all frames, and no dithering: what stands still costs nothing then.
    palette = sample.quantize(COLOURS, Image.Quantize.FASTOCTREE)
    first, *others = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first.save(
        IMAGES / f"{name}.gif",
        save_all=True,
        append_images=others,
        duration=[LAST_SECONDS * 1000 if end else FRAME_SECONDS * 1000 for end in ends],
        loop=0,
    )


def page(name: str) -> str:
    """A game's page, as Markdown."""
    env_id = SHORT_NAMES[name]
    documented = environment_class(env_id)
    summary, sections = inspect.cleandoc(documented.__doc__).split("\n\n", 1)
    for other, other_id in SHORT_NAMES.items():
        if other != name:
            other_class = environment_class(other_id).__name__
            sections = sections.replace(f"``{other_class}``", f"[``{other_class}``]({other}.md)")
    caption = SCENES[name].caption
    return "\n".join(
        [
            "<!-- Made by docs/make_games.py from the class docstring: edit that. -->",
            "",
            f"# {env_id.partition('/')[2].rpartition('-')[0]}",
            "",
            summary,
            "",
            f"![{caption}](../images/{name}.gif)",
            "",
            f"*{caption}.*",
            "",
            "```python",
            "import gymnasium",
            "",
            f'env = gymnasium.make("rmc_envs:{env_id}", render_mode="human")',
            f'envs = gymnasium.make_vec("rmc_envs:{env_id}", num_envs=256)',
            "```",
            "",
            f"`python -m rmc_envs.play {name}` lets you play it yourself.",
            "",
            sections,
            "",
        ]
    )


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description="Make a page for each game from its class docstring.")
    parser.add_argument("--no-pictures", action="store_true", help="write the pages only")
    arguments = parser.parse_args()
    PAGES.mkdir(exist_ok=True)
    for name in SHORT_NAMES:
        path = PAGES / f"{name}.md"
        path.write_text(page(name))
        print(path)
        if not arguments.no_pictures:
            write_picture(name)


if __name__ == "__main__":
    main()
