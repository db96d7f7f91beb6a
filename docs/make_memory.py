"""Draw what a relational memory attended to during one episode of Repeat First.

    python -m rmc_rl.train env=repeat-first engine=inline total_steps=4e5
    python docs/make_memory.py [run]

writes ``docs/images/attention.png``: for every step the symbol shown, the attention of the slots averaged over heads
(Figure 3 of the paper), and what the gates let in and kept. The run is ``latest`` unless a folder is named.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from rmc_agents import Trace, attention_maps
from rmc_rl import load
from rmc_rl.environment import make_single
from rmc_rl.policy import Policy

PICTURE = Path(__file__).parent / "images" / "attention.png"
SEED = 0
CELL, GAP, LEFT, TOP = 18, 12, 122, 34
"""Pixels: a weight, between steps and panels, and around them."""
INK, QUIET, LINE = (30, 30, 30), (110, 110, 110), (200, 200, 200)
STRONG = np.array((8, 81, 156))
"""Colour of a weight of 1; white is 0."""


def play(policy: Policy, env: gymnasium.Env[Any, Any]) -> tuple[list[np.ndarray], Trace]:
    """One greedy episode: what was seen, and the trace of the memory."""
    observation, _ = env.reset(seed=SEED)
    seen: list[np.ndarray] = []
    inputs, resets = [], []

    def note(core: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.append(arguments[0])
        resets.append(arguments[2])

    state, reset, reward, done = None, True, 0.0, False
    with policy.agent.core.register_forward_pre_hook(note):
        while not done:
            seen.append(observation)
            action, state = policy.act(observation, state, reset, reward, greedy=True)
            observation, step_reward, terminated, truncated, _ = env.step(action)
            reward, reset, done = float(step_reward), False, terminated or truncated
    return seen, policy.agent.core.trace(torch.cat(inputs), policy.agent.initial_state(1), torch.cat(resets))


def panels(seen: list[np.ndarray], trace: Trace) -> list[tuple[str, list[np.ndarray]]]:
    """Names, and for every step a matrix of weights from 0 to 1."""
    assert trace.input_gate is not None
    assert trace.forget_gate is not None
    columns = [("symbol shown", [symbols[None] for symbols in seen])]
    columns.append(("slots read from", list(attention_maps(trace).numpy())))
    for name, gate in (("input gate", trace.input_gate), ("forget gate", trace.forget_gate)):
        columns.append((name, [rows.mean(-1, keepdim=True).T.numpy() for rows in gate[:, 0]]))
    return columns


def draw(columns: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    """Steps side by side, panels below one another."""
    font, small = ImageFont.load_default(14), ImageFont.load_default(11)
    widest = max(matrix.shape[1] for _, matrices in columns for matrix in matrices)
    steps = len(columns[0][1])
    heights = [matrices[0].shape[0] * CELL for _, matrices in columns]
    size = (LEFT + steps * (widest * CELL + GAP), TOP + sum(heights) + GAP * len(columns) + 22 + GAP)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for step in range(steps):
        pen.text((LEFT + step * (widest * CELL + GAP), 8), f"step {step}", INK, font)
    top = TOP
    for (name, matrices), height in zip(columns, heights, strict=True):
        pen.text((8, top + height / 2 - 9), name, INK, font)
        for step, matrix in enumerate(matrices):
            left = LEFT + step * (widest * CELL + GAP)
            for (row, column), weight in np.ndenumerate(matrix):
                corner = (left + column * CELL, top + row * CELL)
                colour = tuple(int(value) for value in np.rint(255 + (STRONG - 255) * float(weight)))
                pen.rectangle((*corner, corner[0] + CELL, corner[1] + CELL), colour, LINE)
            if name == "slots read from":
                slots = matrix.shape[0]
                for column in range(matrix.shape[1]):
                    words = "in" if column == slots else str(column + 1)
                    pen.text((left + column * CELL + 5, top + height + 2), words, QUIET, small)
        top += height + GAP + (22 if name == "slots read from" else 0)
    return picture


def main() -> None:
    """Play, trace, draw."""
    policy = load(sys.argv[1] if len(sys.argv) > 1 else "latest")
    env = make_single(policy.config.env)
    seen, trace = play(policy, env)
    env.close()
    draw(panels(seen, trace)).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
