"""One step of an agent at play as a picture: the board, what the agent sees, what it makes of it, what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pygame
from pygame import Rect

from rmc_agents.tree import leaves
from rmc_rl import palette
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.course_panel import PERSON, Track, draw_course
from rmc_rl.viewer.elements import card, number
from rmc_rl.viewer.keys import KEYS
from rmc_rl.viewer.layout import Layout, arrange
from rmc_rl.viewer.memory_panel import Targets, draw_memory
from rmc_rl.viewer.policy_panel import draw_policy, title_of
from rmc_rl.viewer.selection import Selection
from rmc_rl.viewer.step import Step, Timeline

if TYPE_CHECKING:
    from rmc_rl.viewer.session import Session


@dataclass(frozen=True)
class Caption:
    """What holds for the whole time: who plays what.

    Attributes:
        title: the environment.
        subtitle: the agent and its checkpoint.
        action_names: [A].
        largest_entropy: of a policy that knows nothing, in nats; None: there is no such limit.
        policy_title: what the bars beside the actions say.
    """

    title: str
    subtitle: str
    action_names: tuple[str, ...]
    largest_entropy: float | None = None
    policy_title: str = "action probabilities"

    @classmethod
    def of(cls, session: Session) -> Caption:
        """What holds for an agent at play: its game, its core, how long it was trained, its actions."""
        policy = session.policy
        subtitle = f"core {policy.config.core['name']}  ·  trained for {policy.progress.steps:,} steps"
        title = title_of(policy.agent.actions)
        return cls(policy.config.env.name, subtitle, session.action_names, session.largest_entropy, title)


@dataclass(frozen=True)
class Status:
    """What the person at the keys has set.

    Attributes:
        speed: steps per second.
        paused: whether the agent waits.
        greedy: whether it takes the likeliest action.
        help: whether the keys are listed.
        message: something to be told.
        person: the keys of the actions, by name, while a person plays.
        since: the first step of the episode that can be gone back to.
        prompt: what is being typed.
    """

    speed: float
    paused: bool = False
    greedy: bool = False
    help: bool = False
    message: str = ""
    person: tuple[str, ...] | None = None
    since: int = 0
    prompt: str | None = None


class Panels:
    """Draws steps.

    Attributes:
        caption: what holds for the whole time.
        selection: which attention weights are shown; may be changed at any time.
        track: where the last picture's time line lies.
        targets: where in the last picture head and block can be chosen.
    """

    def __init__(self, caption: Caption, selection: Selection | None = None) -> None:
        self.caption = caption
        self.selection = selection or Selection()
        self.track = Track(Rect(0, 0, 1, 1), 1, 1)
        self.targets: Targets = []
        self._canvas = Canvas()

    def draw(self, surface: pygame.Surface, step: Step, timeline: Timeline, status: Status) -> None:
        """Draw a step over the whole surface.

        Args:
            surface: of any size.
            step: what to show.
            timeline: its episode, up to this step or beyond it.
            status: of the window or the recording.
        """
        canvas, caption = self._canvas, self.caption
        canvas.surface = surface
        surface.fill(palette.GROUND)
        sees = as_picture(step.observation)
        board = step.board if step.board is not None else sees
        lay = arrange(*surface.get_size(), _aspect(board), _aspect(sees), bool(step.memory))
        self._header(lay, step, timeline, status)
        self._board(lay, board, step, status)
        self._numbers(lay, step)
        self._sees(lay, sees, as_numbers(step.observation))
        draw_policy(canvas, lay, step, caption.policy_title, caption.action_names, status.person)
        self.targets = draw_memory(canvas, lay, step, timeline, self.selection) if step.memory else []
        self.track = draw_course(
            canvas, lay, timeline, step.number, caption.action_names, caption.largest_entropy, status.since
        )
        if status.help:
            self._help(lay, surface.get_rect())

    def _header(self, lay: Layout, step: Step, timeline: Timeline, status: Status) -> None:
        canvas, u, box = self._canvas, lay.unit, lay.header
        setting = f"{status.speed:g} steps/s  ·  {'greedy' if status.greedy else 'sampled'}"
        colour = palette.YELLOW if status.paused else palette.QUIET
        note = ("paused  ·  " if status.paused else "") + setting
        if status.person is not None:
            colour = PERSON
            note = "a key is a move" if status.paused else f"{status.speed:g} steps/s"
            note = f"you play  ·  {note}  ·  t hands back"
        if step.number < len(timeline) - 1:
            colour = palette.YELLOW
            note = f"looking back, step {step.number:,} of {len(timeline) - 1:,}  ·  {note}"
        if status.message:
            note, colour = status.message, palette.YELLOW
        if status.prompt is not None:
            note, colour = status.prompt, palette.TEXT
        right = canvas.text(note, box.right, box.centery, 22 * u, colour, "right", round(0.6 * box.width))
        room = box.width - right - lay.gap
        taken = canvas.text(self.caption.title, box.left, box.centery, 30 * u, width=room)
        left = box.left + taken + lay.gap
        free = room - taken - lay.gap
        canvas.text(self.caption.subtitle, left, box.centery + round(2 * u), 22 * u, palette.QUIET, width=free)

    def _board(self, lay: Layout, board: np.ndarray | None, step: Step, status: Status) -> None:
        canvas, u = self._canvas, lay.unit
        if status.person is not None:
            canvas.rect(lay.board.inflate(round(6 * u), round(6 * u)), PERSON, 10 * u)
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
            canvas.text(label, round(left), middle - round(15 * u), 19 * u, palette.QUIET, width=width)
            size = canvas.fitting(words, 32 * u, width)
            canvas.text(words, round(left), middle + round(11 * u), size, width=width)
            left += share * weight

    def _sees(self, lay: Layout, picture: np.ndarray | None, values: np.ndarray) -> None:
        box = card(self._canvas, lay, lay.sees, "the agent sees")
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

    def _help(self, lay: Layout, whole: Rect) -> None:
        """The keys in two columns, over everything."""
        canvas, u = self._canvas, lay.unit
        shade = pygame.Surface(whole.size, pygame.SRCALPHA)
        shade.fill((*palette.GROUND, 190))
        canvas.surface.blit(shade, (0, 0))
        lines = (
            *KEYS,
            ("mouse", "time line: go to a step; heads"),
            ("you play", "arrows, enter, digits, letters"),
            ("", "as the actions show them"),
        )
        columns = 2 if whole.width > 1.05 * whole.height else 1
        count = -(-len(lines) // columns)
        pitch = min(36 * u, (whole.height - 4 * lay.gap) / (count + 2))
        width = min(round(470 * columns * u), whole.width - 2 * lay.gap)
        sheet = Rect(0, 0, width, round(pitch * (count + 1.6)))
        sheet.center = whole.center
        canvas.rect(sheet, palette.CARD, 12 * u)
        pygame.draw.rect(canvas.surface, palette.QUIET, sheet, 1, border_radius=round(12 * u))
        size = min(23 * u, 0.75 * pitch)
        for i, (key, meaning) in enumerate(lines):
            column, row = divmod(i, count)
            left = sheet.left + column * sheet.width // columns
            split = left + round(0.37 * sheet.width / columns)
            y = round(sheet.top + (row + 1.3) * pitch)
            canvas.text(key, split - lay.gap // 2, y, size, palette.ORANGE, "right")
            room = sheet.width // columns - (split - left) - lay.gap
            canvas.text(meaning, split + lay.gap // 2, y, size, width=room)


def as_picture(observation: Any) -> np.ndarray | None:
    """An observation as uint8 [height, width, 3], of several parts the first that is an image; None where none is.

    Three channels are colours, and each three of several threes are a picture of their own, side by side; otherwise the
    last channel is shown in grey (of stacked frames, the newest).
    """
    for part in leaves(observation):
        if part.dtype == np.uint8 and part.ndim == 3:
            if part.shape[-1] % 3:
                return np.repeat(part[..., -1:], 3, axis=-1)
            between = np.full((len(part), 1, 3), palette.CARD, np.uint8)
            pictures = np.split(part, part.shape[-1] // 3, axis=-1)
            return np.concatenate([pictures[0], *(x for each in pictures[1:] for x in (between, each))], axis=1)
    return None


def as_numbers(observation: Any) -> np.ndarray:
    """All numbers of an observation, one after the other."""
    return np.concatenate([np.ravel(part) for part in leaves(observation)])


def _aspect(picture: np.ndarray | None) -> float:
    return 1.25 if picture is None else picture.shape[1] / picture.shape[0]
