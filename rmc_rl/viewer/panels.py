"""One step of an agent at play as a picture: the board, what the agent sees, what it makes of it, what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pygame
from pygame import Rect

from rmc_agents.tree import leaves
from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.layout import Layout, arrange
from rmc_rl.viewer.step import MemoryPart, Step, Timeline

KEYS = (
    ("space", "pause, go on"),
    ("right  or  .", "one step, then pause"),
    ("up  or  +", "faster"),
    ("down  or  -", "slower"),
    ("n", "next episode"),
    ("g", "greedy or sampled actions"),
    ("s", "save this picture"),
    ("h", "this help"),
    ("q  or  Esc", "quit"),
)
"""Each key and what it does, as the help shows them."""

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"

SHORTEST_SPAN = 24
"""Steps that the time line spans at least."""

LONGEST_ROW = 64
"""A memory of one longer row is folded into rows of at most so many numbers."""


@dataclass(frozen=True)
class Caption:
    """What holds for the whole time: who plays what.

    Attributes:
        title: the environment.
        subtitle: the agent and its checkpoint.
        action_names: [A].
    """

    title: str
    subtitle: str
    action_names: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """What the person at the keys has set.

    Attributes:
        speed: steps per second.
        paused: whether the agent waits.
        greedy: whether it takes the likeliest action.
        help: whether the keys are listed.
        message: something to be told.
    """

    speed: float
    paused: bool = False
    greedy: bool = False
    help: bool = False
    message: str = ""


class Panels:
    """Draws steps."""

    def __init__(self, caption: Caption) -> None:
        self.caption = caption
        self._canvas = Canvas()

    def draw(self, surface: pygame.Surface, step: Step, timeline: Timeline, status: Status) -> None:
        """Draw a step over the whole surface.

        Args:
            surface: of any size.
            step: what to show.
            timeline: the episode up to this step.
            status: of the window or the recording.
        """
        canvas = self._canvas
        canvas.surface = surface
        surface.fill(palette.GROUND)
        sees = as_picture(step.observation)
        board = step.board if step.board is not None else sees
        lay = arrange(*surface.get_size(), _aspect(board), _aspect(sees), bool(step.memory))
        self._header(lay, status)
        self._board(lay, board, step)
        self._numbers(lay, step)
        self._sees(lay, sees, as_numbers(step.observation))
        self._policy(lay, step)
        if step.memory:
            self._memory(lay, step.memory, timeline)
        self._course(lay, timeline)
        if status.help:
            self._help(lay, surface.get_rect())

    def _header(self, lay: Layout, status: Status) -> None:
        canvas, u, box = self._canvas, lay.unit, lay.header
        setting = f"{status.speed:g} steps/s  ·  {'greedy' if status.greedy else 'sampled'}"
        note = status.message or ("paused  ·  " if status.paused else "") + setting
        colour = palette.YELLOW if status.paused or status.message else palette.QUIET
        right = canvas.text(note, box.right, box.centery, 22 * u, colour, "right", box.width // 2)
        room = box.width - right - lay.gap
        taken = canvas.text(self.caption.title, box.left, box.centery, 30 * u, width=room)
        left = box.left + taken + lay.gap
        canvas.text(self.caption.subtitle, left, box.centery + round(2 * u), 22 * u, palette.QUIET, width=room - taken)

    def _board(self, lay: Layout, board: np.ndarray | None, step: Step) -> None:
        canvas, u = self._canvas, lay.unit
        canvas.rect(lay.board, palette.CARD, 8 * u)
        if board is None:
            canvas.text("this environment draws no picture", *lay.board.center, 20 * u, palette.QUIET, "centre")
        else:
            canvas.picture(board, lay.board)
        if step.ending:
            words = f"episode {step.ending} with a return of {number(step.episode_return)}"
            size = canvas.fitting(words, 26 * u, lay.board.width - 4 * lay.gap)
            badge = Rect(0, 0, canvas.text_width(words, size) + 2 * lay.gap, round(46 * u))
            badge.center = lay.board.center
            canvas.rect(badge.inflate(4, 4), palette.YELLOW, 10 * u)
            canvas.rect(badge, palette.GROUND, 8 * u)
            canvas.text(words, *badge.center, size, palette.TEXT, "centre")

    def _numbers(self, lay: Layout, step: Step) -> None:
        canvas, u = self._canvas, lay.unit
        canvas.rect(lay.numbers, palette.CARD, 8 * u)
        tiles = (
            ("return", number(step.episode_return), 1.2),
            ("step", f"{step.number:,}", 1.0),
            ("episode", f"{step.episode + 1:,}", 1.0),
            ("seed", str(step.seed), 1.5),
        )
        left = float(lay.numbers.left + lay.gap)
        share = (lay.numbers.width - 2 * lay.gap) / sum(weight for *_, weight in tiles)
        for label, words, weight in tiles:
            width = int(share * weight) - lay.gap
            middle = lay.numbers.centery
            canvas.text(label, round(left), middle - round(18 * u), 20 * u, palette.QUIET, width=width)
            size = canvas.fitting(words, 36 * u, width)
            canvas.text(words, round(left), middle + round(13 * u), size, width=width)
            left += share * weight

    def _sees(self, lay: Layout, picture: np.ndarray | None, values: np.ndarray) -> None:
        box = self._card(lay, lay.sees, "the agent sees")
        if picture is not None:
            self._canvas.picture(picture, box)
            return
        limit = max(1.0, float(np.abs(values).max(initial=0.0)))
        label = round(20 * lay.unit) if len(values) <= 12 else 0
        bars = Rect(box.left, box.top, box.width, max(1, box.height - label))
        self._canvas.bars(values, bars, (palette.BLUE, palette.VERMILION), limit)
        if label:
            pitch = box.width / len(values)
            for i in range(len(values)):
                x = round(box.left + (i + 0.5) * pitch)
                self._canvas.text(str(i), x, box.bottom - label // 3, 18 * lay.unit, palette.QUIET, "centre")

    def _policy(self, lay: Layout, step: Step) -> None:
        canvas, u = self._canvas, lay.unit
        names, probabilities = self.caption.action_names, step.probabilities
        title = "action" if isinstance(step.action, tuple) else "action probabilities"
        box = self._card(lay, lay.policy, title)
        rows = max(1, min(len(names), box.height // max(1, round(17 * u))))
        # Where not all fit, the likeliest are shown, and always the chosen one.
        rank = np.argsort(-probabilities, kind="stable")
        if isinstance(step.action, int):
            rank = np.concatenate([[step.action], rank[rank != step.action]])
        shown = sorted(rank[:rows].tolist())
        pitch = min(box.height / rows, 52 * u)
        size = min(22 * u, 0.95 * pitch)
        name_width = min(max(canvas.text_width(names[i], size) for i in shown), int(0.4 * box.width))
        percent_width = canvas.text_width("100 %", size)
        mark = round(16 * u)
        top = box.top + (box.height - rows * pitch) / 2
        for i, action in enumerate(shown):
            middle = round(top + (i + 0.5) * pitch)
            chosen = action == step.action
            if chosen:
                reach = min(round(7 * u), round(0.4 * pitch))
                points = [(box.left, middle - reach), (box.left + reach, middle), (box.left, middle + reach)]
                pygame.draw.polygon(canvas.surface, palette.ORANGE, points)
            tint = palette.TEXT if chosen else palette.QUIET
            canvas.text(names[action], box.left + mark, middle, size, tint, width=name_width)
            bar_left = box.left + mark + name_width + lay.gap // 2
            bar = Rect(
                bar_left, 0, max(1, box.right - percent_width - lay.gap // 2 - bar_left), max(2, round(0.5 * pitch))
            )
            bar.centery = middle
            radius = 4 * u
            canvas.rect(bar, palette.TRACK, radius)
            filled = Rect(bar.left, bar.top, round(bar.width * float(probabilities[action])), bar.height)
            canvas.rect(filled, palette.ORANGE if chosen else palette.BLUE, radius)
            canvas.text(f"{probabilities[action]:.0%}".replace("%", " %"), box.right, middle, size, tint, "right")

    def _memory(self, lay: Layout, parts: tuple[MemoryPart, ...], timeline: Timeline) -> None:
        u = lay.unit
        limits = [timeline.memory_limits[part.name] or 1.0 for part in parts]
        if len(parts) == 1:
            box = self._card(lay, lay.memory, f"its {_described(parts[0])}")
            self._legend(lay, Rect(box.left, lay.memory.top, box.width, round(38 * u)), limits[0])
            self._heat_map(lay, parts[0].values, box, limits[0])
            return
        self._canvas.rect(lay.memory, palette.CARD, 8 * u)
        box = lay.memory.inflate(-2 * lay.gap, -lay.gap)
        label, space = round(24 * u), lay.gap // 2
        height = (box.height - (len(parts) - 1) * space) / len(parts)
        for i, (part, limit) in enumerate(zip(parts, limits, strict=True)):
            line = Rect(box.left, round(box.top + i * (height + space)), box.width, label)
            free = self._legend(lay, line, limit)
            self._canvas.text(_described(part), line.left, line.centery, 22 * u, palette.QUIET, width=free)
            self._heat_map(lay, part.values, Rect(box.left, line.bottom, box.width, max(1, int(height) - label)), limit)

    def _heat_map(self, lay: Layout, values: np.ndarray, box: Rect, limit: float) -> None:
        """Rows as strips with a space between; one long row is folded."""
        canvas, u = self._canvas, lay.unit
        folded = len(values) == 1 and values.shape[1] > LONGEST_ROW
        if folded:
            length = LONGEST_ROW
            padding = -values.shape[1] % length
            values = np.pad(values, ((0, 0), (0, padding)), constant_values=0.0).reshape(-1, length)
        pitch = min(box.height / len(values), 60 * u)
        gutter = round(22 * u) if not folded and len(values) > 1 and pitch >= 12 else 0
        space = 0 if folded or pitch < 4 else max(1, round(3 * u))
        left, width = box.left + gutter, box.width - gutter
        top = box.top + (box.height - pitch * len(values)) / 2
        colours = palette.heat(values, limit)
        for i in range(len(values)):
            first, last = round(top + i * pitch), round(top + (i + 1) * pitch) - space
            if gutter:
                canvas.text(str(i + 1), left - round(9 * u), (first + last) // 2, 19 * u, palette.QUIET, "right")
            canvas.strip(colours[i], Rect(left, first, max(1, width), max(1, last - first)))

    def _course(self, lay: Layout, timeline: Timeline) -> None:
        canvas, u = self._canvas, lay.unit
        values, rewards = np.array(timeline.values), np.array(timeline.rewards)
        span = max(SHORTEST_SPAN, len(values))
        box = self._card(lay, lay.course, "")
        box = Rect(box.left, lay.course.top + lay.gap // 2, box.width, lay.course.height - lay.gap)
        labels = min(round(150 * u), box.width // 3)
        split = round(0.58 * box.height)
        upper = Rect(box.left + labels, box.top + round(4 * u), box.width - labels, max(1, split - round(8 * u)))
        lower = Rect(upper.left, box.top + split + round(4 * u), upper.width, max(1, box.height - split - round(8 * u)))
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        high = high if high - low > 1e-9 else low + 1.0
        zero = round(upper.bottom - 1 + low / (high - low) * (upper.height - 1))
        pygame.draw.line(canvas.surface, palette.TRACK, (upper.left, zero), (upper.right - 1, zero))
        canvas.curve(values, upper, low, high, span, palette.YELLOW, u)
        pygame.draw.line(
            canvas.surface, palette.TRACK, (lower.left, lower.bottom - 1), (lower.right - 1, lower.bottom - 1)
        )
        # One reward a step: as wide as the curve's part for it.
        limit = max(float(np.abs(rewards).max()), 1e-9)
        reach = max(1, round(lower.width * len(rewards) / span))
        canvas.bars(rewards, Rect(lower.left, lower.top, reach, lower.height), (palette.BLUE, palette.VERMILION), limit)
        self._lane_label(lay, box.left, upper, labels, "value", number(values[-1]), palette.YELLOW)
        total = number(rewards[-1], signed=len(rewards) > 1)
        self._lane_label(lay, box.left, lower, labels, "reward", total, palette.BLUE)

    def _lane_label(
        self, lay: Layout, left: int, lane: Rect, width: int, label: str, words: str, colour: palette.Colour
    ) -> None:
        canvas, u = self._canvas, lay.unit
        room = width - lay.gap
        taken = canvas.text(label, left, lane.centery, 22 * u, palette.QUIET, width=room)
        canvas.text(words, left + room, lane.centery, 25 * u, colour, "right", room - taken - lay.gap // 2)

    def _card(self, lay: Layout, rect: Rect, title: str) -> Rect:
        """A part's ground and title; returns what is left inside."""
        canvas, u = self._canvas, lay.unit
        canvas.rect(rect, palette.CARD, 8 * u)
        title_height = round(36 * u)
        middle = rect.top + round(19 * u)
        canvas.text(title, rect.left + lay.gap, middle, 22 * u, palette.QUIET, width=rect.width - 2 * lay.gap)
        return Rect(
            rect.left + lay.gap,
            rect.top + title_height,
            max(1, rect.width - 2 * lay.gap),
            max(1, rect.height - title_height - lay.gap),
        )

    def _legend(self, lay: Layout, line: Rect, limit: float) -> int:
        """The heat map's colours at the right end of a line; returns how much of the line is left."""
        canvas, u, space = self._canvas, lay.unit, lay.gap // 2
        right = line.right - canvas.text(f"+{limit:.2g}", line.right, line.centery, 19 * u, palette.QUIET, "right")
        ramp = Rect(0, 0, round(90 * u), max(3, round(10 * u)))
        ramp.midright = (right - space, line.centery)
        canvas.strip(palette.heat(np.linspace(-1, 1, 61), 1.0), ramp)
        left = ramp.left - space
        left -= canvas.text(f"{MINUS}{limit:.2g}", left, line.centery, 19 * u, palette.QUIET, "right")
        return max(0, left - space - line.left)

    def _help(self, lay: Layout, whole: Rect) -> None:
        canvas, u = self._canvas, lay.unit
        shade = pygame.Surface(whole.size, pygame.SRCALPHA)
        shade.fill((*palette.GROUND, 190))
        canvas.surface.blit(shade, (0, 0))
        pitch = min(38 * u, (whole.height - 4 * lay.gap) / (len(KEYS) + 2))
        sheet = Rect(0, 0, min(round(540 * u), whole.width - 2 * lay.gap), round(pitch * (len(KEYS) + 2)))
        sheet.center = whole.center
        canvas.rect(sheet, palette.CARD, 12 * u)
        pygame.draw.rect(canvas.surface, palette.QUIET, sheet, 1, border_radius=round(12 * u))
        size = min(24 * u, 0.75 * pitch)
        split = sheet.left + round(0.38 * sheet.width)
        for i, (key, meaning) in enumerate((("keys", ""), *KEYS)):
            y = round(sheet.top + (i + 1) * pitch)
            canvas.text(key, split - lay.gap, y, size, palette.ORANGE if i else palette.QUIET, "right")
            canvas.text(meaning, split + lay.gap, y, size, width=sheet.right - split - 2 * lay.gap)


def as_picture(observation: Any) -> np.ndarray | None:
    """An observation as uint8 [height, width, 3], of several parts the first that is an image; None where none is.

    Three channels are colours; otherwise the last channel is shown in grey (of stacked frames, the newest).
    """
    for part in leaves(observation):
        if part.dtype == np.uint8 and part.ndim == 3:
            return part if part.shape[-1] == 3 else np.repeat(part[..., -1:], 3, axis=-1)
    return None


def as_numbers(observation: Any) -> np.ndarray:
    """All numbers of an observation, one after the other."""
    return np.concatenate([np.ravel(part) for part in leaves(observation)])


def number(value: float, *, signed: bool = False) -> str:
    """A number as people write it: no needless digits, and a true minus sign."""
    size = abs(value)
    if abs(value - round(value)) < 1e-6:
        words = f"{round(size):,}"
    else:
        words = f"{size:,.1f}" if size >= 100 else f"{size:.2f}"
    if words.strip("0.,") == "":
        return "0"
    return (MINUS if value < 0 else "+" if signed else "") + words


def _described(part: MemoryPart) -> str:
    rows, columns = part.values.shape
    return f"{part.name}, {rows} {TIMES} {columns}" if rows > 1 else f"{part.name}, {columns} units"


def _aspect(picture: np.ndarray | None) -> float:
    return 1.25 if picture is None else picture.shape[1] / picture.shape[0]
