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

KEPT_TEXTS = 512


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

    def strip(self, pixels: np.ndarray, box: Rect) -> None:
        """Draw one row of colours, uint8 [n, 3], stretched over the box, all equally wide."""
        source = pygame.image.frombuffer(np.ascontiguousarray(pixels).tobytes(), (len(pixels), 1), "RGB")
        whole = -(-box.width // len(pixels))
        source = pygame.transform.scale(source, (len(pixels) * whole, box.height))
        if source.get_size() != box.size:
            source = pygame.transform.smoothscale(source, box.size)
        self.surface.blit(source, box)

    def bars(
        self, values: Sequence[float] | np.ndarray, box: Rect, colours: tuple[Colour, Colour], limit: float
    ) -> None:
        """Upright bars from a common zero line, positive and negative in their colours; `limit` is a full bar.

        The zero line lies in the middle where a value is negative, otherwise at the bottom. With more values than
        pixels, the largest of neighbouring ones is drawn.
        """
        shown = extremes(np.asarray(values, float), box.width)
        signed = bool((shown < 0).any())
        zero = box.centery if signed else box.bottom - 1
        full = (box.height // 2 if signed else box.height) - 1
        pygame.draw.line(self.surface, palette.TRACK, (box.left, zero), (box.right - 1, zero))
        pitch = box.width / max(1, len(shown))
        for i, value in enumerate(shown):
            height = min(full, round(abs(value) / limit * full))
            if height == 0:
                continue
            left, right = round(box.left + i * pitch), round(box.left + (i + 1) * pitch)
            space = 1 if right - left > 3 else 0
            up = value > 0
            bar = Rect(left, zero - height if up else zero + 1, max(1, right - left - space), height)
            self.rect(bar, colours[0] if up else colours[1])

    def curve(
        self, values: np.ndarray, box: Rect, low: float, high: float, span: int, colour: Colour, unit: float
    ) -> None:
        """A line through the values; `span` of them fill the box. The last one is marked."""
        pixels = min(len(values), max(2, box.width))
        shown = np.array([part.mean() for part in np.array_split(values, pixels)])
        reach = (box.width - 1) * (len(values) - 1) / max(1, span - 1)
        x = box.left + np.linspace(0.0, reach, len(shown))
        y = box.bottom - 1 - (shown - low) / (high - low) * (box.height - 1)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        if len(points) > 1:
            pygame.draw.lines(self.surface, colour, False, points, max(1, round(2 * unit)))
        pygame.draw.circle(self.surface, colour, points[-1], max(2, round(4 * unit)))

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


def extremes(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` values: of each run of neighbours the one of the largest magnitude."""
    if len(values) <= count:
        return values
    return np.array([part[np.abs(part).argmax()] for part in np.array_split(values, max(1, count))])
