"""Text, pictures, bars and curves on a pygame surface. pygame's bundled font makes it look the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pygame
from pygame import Rect

from rmc_rl import palette
from rmc_rl.palette import Colour

SMALLEST_FONT = 10.5
OVERSAMPLING = 3
"""Text is written larger and reduced: at its own size its letters would be moved to whole pixels, unevenly."""

KEPT_TEXTS = 2048

Direction = Literal["up", "down", "left", "right"]


class Canvas:
    """Draws on `surface`, which is set anew for every picture; fonts are kept."""

    def __init__(self) -> None:
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._texts: dict[tuple[str, int, Colour], pygame.Surface] = {}
        self.surface = pygame.Surface((1, 1))

    def text(
        self,
        words: str,
        x: int,
        y: int,
        size: float,
        colour: Colour = palette.TEXT,
        align: Literal["left", "right", "centre"] = "left",
        width: int | None = None,
    ) -> int:
        """Write one line whose vertical middle is y; too long for `width`, it is cut. Returns the width it took."""
        if width is not None and self.text_width(words, size) > width:
            while words and self.text_width(words + "…", size) > width:
                words = words[:-1]
            words = words + "…" if words else ""
        drawn = self._written(words, size, colour)
        left = {"left": x, "right": x - drawn.get_width(), "centre": x - drawn.get_width() // 2}[align]
        self.surface.blit(drawn, (left, y - drawn.get_height() // 2))
        return drawn.get_width()

    def fitting(self, words: str, size: float, width: int) -> float:
        """The largest size up to `size` at which the words are no wider than `width`."""
        taken = self.text_width(words, size)
        return size if taken <= width else size * width / taken

    def text_width(self, words: str, size: float) -> int:
        """How wide a line is."""
        return -(-self._font(size).size(words)[0] // OVERSAMPLING)

    def text_height(self, size: float) -> int:
        """How high a line is."""
        return -(-self._font(size).get_height() // OVERSAMPLING)

    def rect(self, rect: Rect, colour: Colour, radius: float = 0) -> None:
        """Fill a rectangle; an empty one is left out."""
        if rect.width > 0 and rect.height > 0:
            pygame.draw.rect(self.surface, colour, rect, border_radius=round(radius))

    def picture(self, pixels: np.ndarray, box: Rect) -> Rect:
        """Draw uint8 [height, width, 3] as large as fits into the middle of the box, its edges sharp.

        A small picture (an observation) is enlarged by a whole factor. A large one is enlarged by the next whole factor
        and then smoothly reduced, so that all its lines stay equally wide. Returns where it lies.
        """
        height, width = pixels.shape[:2]
        source = pygame.image.frombuffer(np.ascontiguousarray(pixels).tobytes(), (width, height), "RGB")
        factor = max(min(box.width / width, box.height / height), 1 / max(width, height))
        if factor >= 3:
            factor = int(factor)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        whole = int(np.ceil(factor))
        if whole > 1:
            source = pygame.transform.scale(source, (width * whole, height * whole))
        if source.get_size() != size:
            source = pygame.transform.smoothscale(source, size)
        place = source.get_rect(center=box.center)
        self.surface.blit(source, place)
        return place

    def pixels(self, colours: np.ndarray, corner: tuple[int, int]) -> None:
        """Draw uint8 [height, width, 3] as they are, the upper left one at the corner."""
        height, width = colours.shape[:2]
        source = pygame.image.frombuffer(np.ascontiguousarray(colours).tobytes(), (width, height), "RGB")
        self.surface.blit(source, corner)

    def arrow(self, direction: Direction, centre: tuple[int, int], reach: float, colour: Colour) -> None:
        """A triangle that points somewhere; the font has no arrows."""
        x, y = centre
        across, along = {"up": (1, -1), "down": (1, 1), "left": (-1, 1), "right": (1, 1)}[direction], 0.8 * reach
        if direction in ("up", "down"):
            points = [
                (x - reach, y - across[1] * along),
                (x + reach, y - across[1] * along),
                (x, y + across[1] * along),
            ]
        else:
            points = [
                (x - across[0] * along, y - reach),
                (x - across[0] * along, y + reach),
                (x + across[0] * along, y),
            ]
        pygame.draw.polygon(self.surface, colour, points)

    def strip(self, pixels: np.ndarray, box: Rect) -> None:
        """Draw one row of colours, uint8 [n, 3], stretched over the box, all equally wide."""
        source = pygame.image.frombuffer(np.ascontiguousarray(pixels).tobytes(), (len(pixels), 1), "RGB")
        whole = -(-box.width // len(pixels))
        source = pygame.transform.scale(source, (len(pixels) * whole, box.height))
        if source.get_size() != box.size:
            source = pygame.transform.smoothscale(source, box.size)
        self.surface.blit(source, box)

    def bars(
        self,
        values: Sequence[float] | np.ndarray,
        box: Rect,
        colours: tuple[Colour, Colour],
        limit: float,
        span: int | None = None,
    ) -> None:
        """Upright bars from a common zero line, positive and negative in their colours; `limit` is a full bar.

        The zero line lies in the middle where a value is negative, otherwise at the bottom. `span` bars fill the box;
        None: as many as there are. With more than pixels, the largest of neighbouring ones is drawn.
        """
        values = np.asarray(values, float)
        places = Places(len(values), span or len(values), box)
        shown = places.extremes(values)
        signed = bool((shown < 0).any())
        zero = box.centery if signed else box.bottom - 1
        full = (box.height // 2 if signed else box.height) - 1
        pygame.draw.line(self.surface, palette.TRACK, (box.left, zero), (box.right - 1, zero))
        heights = np.minimum(full, np.rint(np.abs(shown) / limit * full)).astype(int)
        for i in np.flatnonzero(heights).tolist():
            left, right, height, up = places.lefts[i], places.lefts[i + 1], int(heights[i]), shown[i] > 0
            space = 1 if right - left > 3 else 0
            bar = Rect(left, zero - height if up else zero + 1, max(1, right - left - space), height)
            self.rect(bar, colours[0] if up else colours[1])

    def curve(
        self, values: np.ndarray, box: Rect, low: float, high: float, span: int, colour: Colour, unit: float
    ) -> None:
        """A line through the values, of which `span` fill the box; with more than pixels, through means."""
        places = Places(len(values), span, box)
        x = (places.lefts[:-1] + places.lefts[1:] - 1) / 2
        y = box.bottom - 1 - (places.means(values) - low) / (high - low) * (box.height - 1)
        points = np.column_stack([x, y]).tolist()
        if len(points) > 1:
            pygame.draw.lines(self.surface, colour, False, points, max(1, round(2 * unit)))

    def dot(self, centre: tuple[float, float], colour: Colour, unit: float) -> None:
        """A point that stands out."""
        pygame.draw.circle(self.surface, colour, centre, max(2, round(4 * unit)))

    def _written(self, words: str, size: float, colour: Colour) -> pygame.Surface:
        font = self._font(size)
        key = (words, font.get_height(), colour)
        if key not in self._texts:
            if len(self._texts) >= KEPT_TEXTS:
                del self._texts[next(iter(self._texts))]
            large = font.render(words, True, colour)
            reduced = (self.text_width(words, size), max(1, round(large.get_height() / OVERSAMPLING)))
            self._texts[key] = pygame.transform.smoothscale(large, reduced)
        return self._texts[key]

    def _font(self, size: float) -> pygame.font.Font:
        pixels = round(OVERSAMPLING * max(SMALLEST_FONT, size))
        if pixels not in self._fonts:
            self._fonts[pixels] = pygame.font.Font(None, pixels)
        return self._fonts[pixels]


class Places:
    """Where values over time lie in a box, of which `span` fill it: each its own columns of pixels, or several in one.

    Attributes:
        lefts: int [n + 1], the left edges of n places, and the right edge of the last.
    """

    def __init__(self, length: int, span: int, box: Rect) -> None:
        edges = box.left + np.floor(np.arange(length + 1) * (box.width / max(1, span))).astype(int)
        # Of values that share a column of pixels the first begins it.
        self._starts = np.flatnonzero(np.diff(edges, prepend=box.left - 1)[:-1])
        self._counts = np.diff(self._starts, append=length)
        self.lefts = np.append(edges[self._starts], edges[-1])
        if length and self.lefts[-1] == self.lefts[-2]:
            self.lefts[-1] += 1

    def means(self, values: np.ndarray) -> np.ndarray:
        """Of the values [T, …] at each place, [n, …]."""
        counts = self._counts.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values, self._starts, axis=0) / counts if len(values) else values

    def extremes(self, values: np.ndarray) -> np.ndarray:
        """Of the values [T] at each place the one of the largest magnitude, [n]."""
        if not len(values):
            return values
        highest, lowest = (ufunc.reduceat(values, self._starts) for ufunc in (np.maximum, np.minimum))
        return np.where(highest >= -lowest, highest, lowest)
