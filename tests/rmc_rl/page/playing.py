"""Games played in Python, and by JavaScript outside of a browser."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

import rmc_rl
from rmc_envs.boxworld.kernels import ACTION_COLUMN, ACTION_ROW, NO_KEY
from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, EMPTY, KEYS, LOCKS, NUM_COLOURS
from rmc_envs.minipacman.kernels import GONE
from rmc_envs.minipacman.maze import DIRECTION_STEP, EXITS, FOOD

GAMES = Path(rmc_rl.__file__).parent / "page" / "games"
RUNNER = Path(__file__).with_name("play.mjs")
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None, reason="node, which runs JavaScript outside of a browser, is not installed"
)

State = dict[str, np.ndarray]
Policy = Callable[[State, np.random.Generator], int]


class Trajectory(NamedTuple):
    """What was done and what came of it."""

    commands: list[tuple[str, Any]]
    observations: np.ndarray
    """[commands, ...]"""
    results: list[dict[str, Any]]
    """reward, terminated and truncated of each step"""
    state: State
    """in the end"""
    highest_level: int


def node(*words: str, given: str = "") -> str:
    done = subprocess.run([str(NODE), *words], input=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def evaluate(script: str, folder: Path = GAMES) -> Any:
    """What a script writes to ``output``; it may import from the games' folder, which is ``games``."""
    head = f"const games = {json.dumps(folder.as_uri() + '/')}; let output;"
    return json.loads(node("--input-type=module", "--eval", f"{head}{script}; console.log(JSON.stringify(output))"))


def play(env_id: str, options: dict[str, Any], commands: list[tuple[str, Any]]) -> dict[str, Any]:
    """Let JavaScript play; "observations" come back as an array [commands, ...]."""
    request = {"id": env_id, "options": options, "commands": commands}
    played = json.loads(node(str(RUNNER), str(GAMES), given=json.dumps(request)))
    flat = np.frombuffer(base64.b64decode(played["observations"]), played["observationType"])
    return played | {"observations": flat.reshape(-1, *played["observationShape"])}


def record(env_id: str, options: dict[str, Any], policy: Policy, steps: int, seeds: list[int]) -> Trajectory:
    """Play in Python: a new seed every second episode, the others go on with the stream."""
    env: Any = gymnasium.make(env_id, **options).unwrapped
    rng = np.random.default_rng(0)
    waiting = [seed for first in seeds for seed in (first, None)]
    over, highest = True, 1
    commands: list[tuple[str, Any]] = []
    observations: list[np.ndarray] = []
    results: list[dict[str, Any]] = []
    while len(results) < steps:
        if over:
            seed = waiting.pop(0) if waiting else None
            # A number of JavaScript does not hold every larger integer.
            commands.append(("reset", seed if seed is None or seed < 2**53 else str(seed)))
            observations.append(env.reset(seed=seed)[0])
        state = env.get_state()
        highest = max(highest, int(state.get("level", [1])[0]))
        action = policy(state, rng)
        observation, reward, terminated, truncated, _ = env.step(action)
        commands.append(("step", action))
        observations.append(observation)
        results.append({"reward": reward, "terminated": terminated, "truncated": truncated})
        over = terminated or truncated
    return Trajectory(commands, np.stack(observations), results, env.get_state(), highest)


def at_random(count: int) -> Policy:
    return lambda state, rng: int(rng.integers(count))


def pacman(state: State, rng: np.random.Generator) -> int:
    """Eats what is near, flees, and hunts with power; now and then it errs."""
    if rng.random() < 0.05:
        return int(rng.integers(5))
    ghosts = {int(cell) for cell in state["ghosts"][0, : state["num_ghosts"][0]]}
    near = ghosts | {cell + int(step) for cell in ghosts for step in DIRECTION_STEP}
    food = {int(cell) for cell in np.flatnonzero(state["ground"][0] == FOOD)}
    pills = {int(cell) for cell in state["pills"][0] if cell != GONE}
    goals, shunned = (ghosts, set()) if state["power"][0] > 3 and ghosts else (pills or food, near)
    start = int(state["pacman"][0])
    queue, seen = deque([(start, 0)]), {start}
    while queue:
        cell, first = queue.popleft()
        if cell in goals and first:
            return first
        for direction in np.flatnonzero(EXITS[cell]):
            further = cell + int(DIRECTION_STEP[direction])
            if further not in seen and further not in shunned:
                seen.add(further)
                queue.append((further, first or int(direction) + 1))
    return int(rng.integers(5))


def opener(state: State, rng: np.random.Generator) -> int:
    """Fetches keys and the gem and opens boxes, the wrong ones among them; now and then it errs."""
    if rng.random() < 0.05:
        return int(rng.integers(4))
    board, held = state["board"][0], int(state["held"][0])
    start = int(state["agent_row"][0]), int(state["agent_column"][0])
    queue, seen = deque([(start, -1)]), {start}
    while queue:
        (row, column), first = queue.popleft()
        for action in rng.permutation(4):
            place = row + int(ACTION_ROW[action]), column + int(ACTION_COLUMN[action])
            cell = int(board[place])
            if place in seen:
                continue
            seen.add(place)
            move = int(action) if first < 0 else first
            if cell == EMPTY:
                queue.append((place, move))
            elif cell >= LOCKS:
                if held == (cell - LOCKS) % NUM_COLOURS and (cell < DISTRACTOR_LOCKS or rng.random() < 0.1):
                    return move
            elif cell >= 2 and board[place[0], place[1] + 1] < LOCKS and (held == NO_KEY or cell < KEYS):
                return move
    return int(rng.integers(4))
