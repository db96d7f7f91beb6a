"""What the agent is about to do: the probability of each action, and the one that is done."""

from __future__ import annotations

from typing import get_args

import numpy as np
from pygame import Rect

from rmc_agents.actions import Actions, Continuous, MultiDiscrete
from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas, Direction
from rmc_rl.viewer.course_panel import PERSON
from rmc_rl.viewer.elements import card
from rmc_rl.viewer.layout import Layout
from rmc_rl.viewer.step import Step


def title_of(actions: Actions) -> str:
    """What the bars of such actions say (`Step.probabilities`)."""
    if isinstance(actions, Continuous):
        return "action, between its bounds"
    return "action, and how likely each part was" if isinstance(actions, MultiDiscrete) else "action probabilities"


def draw_policy(
    canvas: Canvas, lay: Layout, step: Step, title: str, action_names: tuple[str, ...], person: tuple[str, ...] | None
) -> None:
    """Draw the probabilities of a step.

    Args:
        canvas: where.
        lay: its layout.
        step: what to show.
        title: what the bars say.
        action_names: [A].
        person: the name of each action's key while a person plays, else None.
    """
    u, probabilities = lay.unit, step.probabilities
    tint = palette.QUIET
    if step.by_person:
        title, tint = "you did this, not what the agent would have done", PERSON
    elif person is not None:
        title, tint = "your move; the agent would do this", PERSON
    box = card(canvas, lay, lay.policy, title, tint)
    rows = max(1, min(len(action_names), box.height // max(1, round(17 * u))))
    # Where not all fit, the likeliest are shown, and always the chosen one.
    rank = np.argsort(-probabilities, kind="stable")
    if isinstance(step.action, int):
        rank = np.concatenate([[step.action], rank[rank != step.action]])
    shown = sorted(rank[:rows].tolist())
    pitch = min(box.height / rows, 52 * u)
    size = min(22 * u, 0.95 * pitch)
    name_width = min(max(canvas.text_width(action_names[i], size) for i in shown), int(0.4 * box.width))
    percent_width = canvas.text_width("100 %", size)
    key_width = round(58 * u) if person is not None else 0
    mark = round(16 * u)
    top = box.top + (box.height - rows * pitch) / 2
    for i, action in enumerate(shown):
        middle = round(top + (i + 0.5) * pitch)
        chosen = action == step.action
        colour = PERSON if step.by_person else palette.ORANGE
        reach = min(round(6 * u), round(0.3 * pitch))
        if chosen:
            canvas.arrow("right", (box.left + reach, middle), reach, colour)
        tint = palette.TEXT if chosen else palette.QUIET
        left = box.left + mark
        if person is not None:
            _key(canvas, person[action], Rect(left, middle - round(0.42 * pitch), key_width, round(0.84 * pitch)), u)
        left += key_width + (lay.gap // 2 if key_width else 0)
        canvas.text(action_names[action], left, middle, size, tint, width=name_width)
        bar_left = left + name_width + lay.gap // 2
        bar = Rect(bar_left, 0, max(1, box.right - percent_width - lay.gap // 2 - bar_left), max(2, round(0.5 * pitch)))
        bar.centery = middle
        radius = 4 * u
        canvas.rect(bar, palette.TRACK, radius)
        filled = Rect(bar.left, bar.top, round(bar.width * float(probabilities[action])), bar.height)
        canvas.rect(filled, colour if chosen else palette.BLUE, radius)
        percents = f"{probabilities[action]:.0%}".replace("%", " %")
        canvas.text(percents, box.right, middle, size, tint, "right")


def _key(canvas: Canvas, name: str, box: Rect, unit: float) -> None:
    """A key as it lies on a keyboard."""
    size, is_arrow = min(19 * unit, 0.9 * box.height), name in get_args(Direction)
    needed = box.height if is_arrow else max(box.height, canvas.text_width(name, size) + round(8 * unit))
    box = Rect(box.left, box.top, min(box.width, needed), box.height)
    canvas.rect(box, palette.TRACK, 4 * unit)
    if is_arrow:
        direction: Direction = name  # type: ignore[assignment]
        canvas.arrow(direction, box.center, min(0.25 * box.height, 6 * unit), PERSON)
    else:
        canvas.text(name, *box.center, size, PERSON, "centre")
