"""What the slots of a memory read from one another and from the input, in one step.

A `flow` shows it as streams: at the left what was there before, at the right the slots that read. A stream is as thick
as its weight, and what flows into a slot fills its height, because its weights sum to 1. A `table` beside it holds the
numbers. Both stand in the same rows as the memory's heat map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pygame
from pygame import Rect

from rmc_rl import palette
from rmc_rl.palette import Colour
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.elements import shades

FROM_SLOTS, FROM_INPUT = palette.PURPLE, palette.GREEN

SMALLEST_WEIGHT, MOST_STREAMS = 0.01, 80
"""Streams that are drawn: no thinner ones, and of very many the thickest."""

OVERSAMPLING = 2
CURVE = np.linspace(0.0, 1.0, 25)
BEND = CURVE * CURVE * (3 - 2 * CURVE)
"""A stream leaves and arrives level."""


@dataclass(frozen=True)
class Rows:
    """Rows of equal height, one below the other, in the middle of a box."""

    top: float
    pitch: float
    space: int
    count: int

    @classmethod
    def within(cls, box: Rect, count: int, unit: float, spaced: bool = True) -> Rows:
        """As high as the box allows, but not higher than is pleasant."""
        pitch = min(box.height / count, 60 * unit)
        space = max(1, round(3 * unit)) if spaced and pitch >= 4 else 0
        return cls(box.top + (box.height - pitch * count) / 2, pitch, space, count)

    def span(self, row: int) -> tuple[int, int]:
        """Where a row begins and ends."""
        first = round(self.top + row * self.pitch)
        return first, max(first + 1, round(self.top + (row + 1) * self.pitch) - self.space)

    def middle(self, row: int) -> int:
        """Its middle."""
        return sum(self.span(row)) // 2


def source_names(weights: np.ndarray) -> list[str]:
    """What is read from, in the order of the columns of the weights [rows, rows + inputs]: slots, then the input."""
    rows, sources = weights.shape
    inputs = ["input"] if sources == rows + 1 else [f"input {i + 1}" for i in range(sources - rows)]
    return [str(i + 1) for i in range(rows)] + inputs


def flow(canvas: Canvas, weights: np.ndarray, rows: Rows, box: Rect, unit: float) -> None:
    """Draw the streams of the weights [rows, rows + inputs] from the left of the box to the rows at its right."""
    count, sources = weights.shape
    names = source_names(weights)
    named = rows.pitch * rows.count / sources >= 12 * unit
    label = max(canvas.text_width(name, 18 * unit) for name in names) + round(8 * unit) if named else 0
    bar = max(2, round(5 * unit))
    left, right = box.left + label + bar, box.right - bar
    if right - left < 8:
        return
    # A source is as high as all that was read from it, with room for the names of those from which little was.
    total = rows.pitch * rows.count - rows.space
    height = rows.span(0)[1] - rows.span(0)[0]
    spacing = 16 * unit if named else 1.0
    share = min(1.0, max(0.1, (total - (sources - 1) * spacing) / (count * height)))
    heights = weights.sum(axis=0) * height * share
    gap = (total - heights.sum()) / (sources - 1)
    tops = rows.top + np.concatenate([[0.0], np.cumsum(heights + gap)[:-1]])

    starts = tops + (np.cumsum(weights, axis=0) - weights) * height * share  # [rows, sources]
    begins = np.array([rows.span(i)[0] for i in range(count)])
    ends = begins[:, None] + (np.cumsum(weights, axis=1) - weights) * height
    streams = [(weights[i, j], i, j) for i, j in np.argwhere(weights >= SMALLEST_WEIGHT).tolist()]
    chosen = sorted(streams, reverse=True)[:MOST_STREAMS]
    area = Rect(left, round(rows.top), right - left, max(1, round(total)))
    painting = _Painting(area)
    for weight, i, j in chosen:
        start = (starts[i, j], starts[i, j] + weight * height * share)
        colour = FROM_INPUT if j >= count else FROM_SLOTS
        painting.stream(start, (ends[i, j], ends[i, j] + weight * height), _dimmed(colour, 0.5 if j % 2 else 0.38))
    painting.onto(canvas.surface)

    for j, name in enumerate(names):
        colour = FROM_INPUT if j >= count else FROM_SLOTS
        canvas.rect(Rect(left - bar, round(tops[j]), bar, max(1, round(heights[j]))), colour)
        if named:
            middle = round(tops[j] + heights[j] / 2)
            canvas.text(name, left - bar - round(6 * unit), middle, 18 * unit, colour, "right")
    for i in range(count):
        first, last = rows.span(i)
        canvas.rect(Rect(right, first, bar, last - first), palette.QUIET)


def table(canvas: Canvas, weights: np.ndarray, rows: Rows, box: Rect, head: Rect, unit: float) -> None:
    """Draw the weights [rows, rows + inputs] as cells with percentages; the names of the columns stand in `head`."""
    count, sources = weights.shape
    pitch = box.width / sources
    size = min(18 * unit, 0.75 * rows.pitch)
    with_numbers = pitch >= canvas.text_width("100", size) + 2 and rows.pitch >= canvas.text_height(size)
    names = source_names(weights)
    for j in range(sources):
        left, right = round(box.left + j * pitch), round(box.left + (j + 1) * pitch) - max(1, round(2 * unit))
        hue = FROM_INPUT if j >= count else FROM_SLOTS
        colours = shades(weights[:, j], hue)
        short = names[j].replace("input", "in")
        if pitch >= canvas.text_width(short, 18 * unit):
            canvas.text(short, (left + right) // 2, head.centery, 18 * unit, hue, "centre")
        for i in range(count):
            first, last = rows.span(i)
            canvas.rect(Rect(left, first, max(1, right - left), last - first), tuple(colours[i].tolist()), 3 * unit)
            if with_numbers:
                words = f"{100 * weights[i, j]:.0f}"
                ink = palette.GROUND if weights[i, j] > 0.6 else palette.TEXT
                canvas.text(words, (left + right) // 2, rows.middle(i), size, ink, "centre")


class _Painting:
    """Streams of light: where they cross it is brighter. Drawn larger and reduced, so that their edges are smooth."""

    def __init__(self, area: Rect) -> None:
        self._area = area
        size = (area.width * OVERSAMPLING, area.height * OVERSAMPLING)
        self._picture, self._layer = pygame.Surface(size), pygame.Surface(size)

    def stream(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """One stream, from top and bottom at the left to top and bottom at the right."""
        x = CURVE * self._picture.get_width()
        edges = [
            (first + (last - first) * BEND - self._area.top) * OVERSAMPLING
            for first, last in zip(start, end, strict=True)
        ]
        outline = np.concatenate([np.column_stack([x, edges[0]]), np.column_stack([x, edges[1]])[::-1]])
        drawn = pygame.draw.polygon(self._layer, colour, outline.tolist())
        self._picture.blit(self._layer, drawn, drawn, special_flags=pygame.BLEND_RGB_ADD)
        self._layer.fill((0, 0, 0), drawn)

    def onto(self, surface: pygame.Surface) -> None:
        """Add the light to the picture."""
        surface.blit(
            pygame.transform.smoothscale(self._picture, self._area.size), self._area, special_flags=pygame.BLEND_RGB_ADD
        )


def _dimmed(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(part * share) for part in colour)
    return red, green, blue
