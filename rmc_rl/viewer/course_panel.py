"""The course of an episode: value, reward, entropy and action probabilities over time, and a mark where one stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pygame
from pygame import Rect

from rmc_rl import palette
from rmc_rl.palette import Colour
from rmc_rl.viewer.canvas import Canvas, Places
from rmc_rl.viewer.elements import number, shades
from rmc_rl.viewer.layout import Layout
from rmc_rl.viewer.step import Timeline

SHORTEST_SPAN = 24
"""Steps that the time line spans at least."""

MOST_ACTIONS = 12
"""Of more actions only those that were likeliest over the episode have a row."""

PERSON = palette.GREEN
"""What a person did."""


@dataclass(frozen=True)
class Track:
    """Where the steps of an episode lie on the time line.

    Attributes:
        box: the whole time line.
        span: so many steps fill it.
        length: so many have been played.
    """

    box: Rect
    span: int
    length: int

    def step_at(self, x: int) -> int:
        """The step at a column of pixels, or the nearest one."""
        return min(max(int((x - self.box.left) * self.span / self.box.width), 0), self.length - 1)

    def middle(self, step: int) -> float:
        """The middle of a step's place."""
        return self.box.left + (step + 0.5) * self.box.width / self.span


def span_of(length: int) -> int:
    """The steps that a time line of so many spans: it grows by leaps of a quarter, and stands still between them."""
    span = SHORTEST_SPAN
    while span < length:
        span = math.ceil(span * 1.25)
    return span


def draw_course(
    canvas: Canvas,
    lay: Layout,
    timeline: Timeline,
    place: int,
    action_names: tuple[str, ...],
    largest_entropy: float | None,
    since: int,
) -> Track:
    """Draw the course of an episode.

    Args:
        canvas: where.
        lay: its layout.
        timeline: the episode as far as it was played.
        place: the step that is shown.
        action_names: [A].
        largest_entropy: of a policy that knows nothing, in nats; None: the scale is that of the episode.
        since: the first step that is kept and can be gone back to.
    """
    u, gap = lay.unit, lay.gap
    canvas.rect(lay.course, palette.CARD, 8 * u)
    box = lay.course.inflate(-2 * gap, -gap)
    labels = min(round(206 * u), box.width // 3)
    axis = round(20 * u) if box.height >= 90 else 0
    lanes = Rect(box.left + labels, box.top, max(1, box.width - labels), max(1, box.height - axis))
    track = Track(lanes, span_of(len(timeline)), len(timeline))
    pen = _Pen(canvas, lay, timeline, place, track, box.left, labels)

    parts: list[tuple[float, Callable[[Rect], None]]] = [(0.28, pen.value), (0.16, pen.reward)]
    names = action_names if timeline.probabilities.shape[1] == len(action_names) else ()
    if names and lanes.height >= 60:
        parts.append((0.39, lambda lane: pen.actions(lane, names)))
    if lanes.height >= 84:
        parts.insert(2, (0.17, lambda lane: pen.entropy(lane, largest_entropy)))
    space = max(2, round(8 * u))
    room = lanes.height - space * (len(parts) - 1)
    top = float(lanes.top)
    for share, draw in parts:
        height = room * share / sum(share for share, _ in parts)
        draw(Rect(lanes.left, round(top), lanes.width, max(2, round(height))))
        top += height + space
    if axis:
        pen.axis(Rect(lanes.left, lanes.bottom, lanes.width, axis))
    pen.cursor(since)
    return track


class _Pen:
    """Draws the lanes of one time line."""

    def __init__(
        self, canvas: Canvas, lay: Layout, timeline: Timeline, place: int, track: Track, left: int, labels: int
    ) -> None:
        self._canvas, self._lay = canvas, lay
        self._timeline, self._place, self._track = timeline, min(place, len(timeline) - 1), track
        self._left, self._labels = left, labels

    def value(self, lane: Rect) -> None:
        """The value estimate as a curve, about the zero line."""
        values = self._timeline.values
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        self._curve(lane, values, low, high, palette.YELLOW)
        self._label(lane, "value", number(values[self._place]), palette.YELLOW)

    def entropy(self, lane: Rect, largest: float | None) -> None:
        """The entropy as a curve, from 0 to that of a policy that knows nothing."""
        values = self._timeline.entropies
        low, high = min(0.0, float(values.min())), float(values.max()) if largest is None else largest
        self._curve(lane, values, low, high, palette.PURPLE)
        self._label(lane, "entropy, nats", number(values[self._place]), palette.PURPLE)

    def reward(self, lane: Rect) -> None:
        """Rewards as bars."""
        rewards, colours = self._timeline.rewards, (palette.BLUE, palette.VERMILION)
        limit = max(float(np.abs(rewards).max()), 1e-9)
        self._canvas.bars(rewards, lane, colours, limit, self._track.span)
        words = number(rewards[self._place], signed=self._place > 0)
        self._label(lane, "reward", words, palette.VERMILION if rewards[self._place] < 0 else palette.BLUE)

    def actions(self, lane: Rect, names: tuple[str, ...]) -> None:
        """Action probabilities as rows of a heat map; what was done stands out."""
        canvas, u = self._canvas, self._lay.unit
        probabilities, actions = self._timeline.probabilities, self._timeline.actions
        most = max(1, min(MOST_ACTIONS, lane.height // 4))
        rank = np.argsort(-probabilities.mean(axis=0), kind="stable")[:most]
        shown = np.sort(rank)
        places = Places(len(probabilities), self._track.span, lane)
        done = actions[:, None] == shown
        by_person = places.means((done & self._timeline.by_person[:, None]).astype(float))[..., None]
        by_agent = places.means((done & ~self._timeline.by_person[:, None]).astype(float))[..., None]
        means = places.means(probabilities[:, shown])
        # What was done is drawn at half its strength at least: an unlikely action was done nevertheless.
        colours = shades(means, palette.BLUE) * (1 - by_agent - by_person)
        colours = colours + shades(0.5 + means / 2, palette.ORANGE) * by_agent
        colours = colours + shades(0.5 + means / 2, PERSON) * by_person
        picture = np.rint(colours).astype(np.uint8).repeat(np.diff(places.lefts), axis=0).swapaxes(0, 1)
        picture = picture[:, : lane.width]
        pitch = lane.height / len(shown)
        size = min(18 * u, 1.2 * pitch)
        named = pitch >= 8
        share = probabilities[self._place]
        room = self._labels - self._lay.gap
        for row, action in enumerate(shown.tolist()):
            first, last = round(lane.top + row * pitch), round(lane.top + (row + 1) * pitch)
            last -= 1 if pitch >= 5 else 0
            canvas.pixels(picture[row : row + 1].repeat(max(1, last - first), axis=0), (lane.left, first))
            if named:
                middle = (first + last) // 2
                canvas.text(names[action], self._left, middle, size, palette.QUIET, width=room // 2)
                percents = f"{share[action]:.0%}".replace("%", " %")
                canvas.text(percents, self._left + room, middle, size, palette.QUIET, "right", room // 2)
        if not named:
            self._label(lane, "actions", "", palette.BLUE)

    def axis(self, line: Rect) -> None:
        """Steps below the time line."""
        canvas, u = self._canvas, self._lay.unit
        least = canvas.text_width(f"{self._track.span:,}", 18 * u) * 2.5 * self._track.span / line.width
        power = 10 ** math.floor(math.log10(max(1.0, least)))
        interval = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
        for step in range(0, self._track.span, interval):
            x = round(self._track.middle(step))
            canvas.rect(Rect(x, line.top + 1, 1, max(2, round(4 * u))), palette.QUIET)
            if x + canvas.text_width(f"{step:,}", 18 * u) // 2 <= line.right:
                canvas.text(f"{step:,}", x, line.bottom - round(7 * u), 18 * u, palette.QUIET, "centre")
        canvas.text("step", self._left, line.bottom - round(7 * u), 18 * u, palette.QUIET, width=self._labels)

    def cursor(self, since: int) -> None:
        """A line where one stands; a shade over what can no longer be gone back to."""
        canvas, u, box = self._canvas, self._lay.unit, self._track.box
        if since:
            shade = pygame.Surface((max(1, round(self._track.middle(since)) - box.left), box.height), pygame.SRCALPHA)
            shade.fill((*palette.CARD, 150))
            canvas.surface.blit(shade, box)
        x = round(self._track.middle(self._place))
        behind = self._place < len(self._timeline) - 1
        canvas.rect(Rect(x, box.top, max(1, round((2 if behind else 1) * u)), box.height), palette.TEXT)

    def _curve(self, lane: Rect, values: np.ndarray, low: float, high: float, colour: Colour) -> None:
        canvas, u = self._canvas, self._lay.unit
        high = high if high - low > 1e-9 else low + 1.0
        zero = round(lane.bottom - 1 + low / (high - low) * (lane.height - 1))
        pygame.draw.line(canvas.surface, palette.TRACK, (lane.left, zero), (lane.right - 1, zero))
        canvas.curve(values, lane, low, high, self._track.span, colour, u)
        y = lane.bottom - 1 - (values[self._place] - low) / (high - low) * (lane.height - 1)
        canvas.dot((self._track.middle(self._place), float(y)), colour, u)
        if lane.height >= 3 * canvas.text_height(16 * u):
            for words, middle in ((number(high), lane.top + round(5 * u)), (number(low), lane.bottom - round(5 * u))):
                canvas.text(words, lane.left - round(6 * u), middle, 16 * u, palette.QUIET, "right")

    def _label(self, lane: Rect, label: str, words: str, colour: Colour) -> None:
        canvas, u = self._canvas, self._lay.unit
        room = self._labels - self._lay.gap - round(44 * u)
        taken = canvas.text(label, self._left, lane.centery, 20 * u, palette.QUIET, width=room)
        canvas.text(words, self._left + room, lane.centery, 23 * u, colour, "right", room - taken - self._lay.gap // 2)
