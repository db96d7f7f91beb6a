"""What several parts of the picture are made of: cards with titles, colour scales, choices, numbers in words."""

from __future__ import annotations

import numpy as np
from pygame import Rect

from rmc_rl import palette
from rmc_rl.palette import Colour
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.layout import Layout

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def card(canvas: Canvas, lay: Layout, rect: Rect, title: str, colour: Colour = palette.QUIET) -> Rect:
    """A part's ground and title; returns what is left inside."""
    u = lay.unit
    canvas.rect(rect, palette.CARD, 8 * u)
    line = title_line(lay, rect)
    canvas.text(title, line.left, line.centery, 22 * u, colour, width=line.width)
    return Rect(line.left, line.bottom, line.width, max(1, rect.bottom - lay.gap - line.bottom))


def title_line(lay: Layout, rect: Rect) -> Rect:
    """Where the title of a card stands."""
    return Rect(rect.left + lay.gap, rect.top, max(1, rect.width - 2 * lay.gap), round(36 * lay.unit))


def scale(canvas: Canvas, lay: Layout, line: Rect, low: str, high: str, colours: np.ndarray) -> int:
    """The colours of a heat map from its lowest to its highest number, at the right end of a line.

    Returns how much of the line is left; nothing is drawn where that would be less than nothing.
    """
    u, space = lay.unit, lay.gap // 2
    ramp = Rect(0, 0, round(70 * u), max(3, round(9 * u)))
    widths = [canvas.text_width(words, 18 * u) for words in (low, high)]
    if sum(widths) + ramp.width + 2 * space > line.width:
        return line.width
    canvas.text(high, line.right, line.centery, 18 * u, palette.QUIET, "right")
    ramp.midright = (line.right - widths[1] - space, line.centery)
    canvas.strip(colours, ramp)
    canvas.text(low, ramp.left - space, line.centery, 18 * u, palette.QUIET, "right")
    return max(0, ramp.left - 2 * space - widths[0] - line.left)


def choices(
    canvas: Canvas, lay: Layout, left: int, line: Rect, label: str, names: list[str], chosen: int
) -> tuple[int, list[Rect]]:
    """Names side by side, the chosen one marked, from `left` on; those that do not fit in the line are left out.

    Returns where they end and where each stands.
    """
    u = lay.unit
    size, space = 19 * u, round(6 * u)
    x = left + canvas.text(label, left, line.centery, size, palette.QUIET, width=max(0, line.right - left)) + space
    rects = []
    for i, name in enumerate(names):
        chip = Rect(x, 0, canvas.text_width(name, size) + 2 * space, round(24 * u))
        chip.centery = line.centery
        if chip.right > line.right:
            break
        if i == chosen:
            canvas.rect(chip, palette.TRACK, 6 * u)
        canvas.text(name, *chip.center, size, palette.TEXT if i == chosen else palette.QUIET, "centre")
        rects.append(chip)
        x = chip.right
    return x, rects


def shades(shares: np.ndarray, colour: Colour, ground: Colour = palette.TRACK) -> np.ndarray:
    """Colours of numbers from 0 (the ground) to 1 (the colour): uint8 [*shape, 3]."""
    share = np.clip(np.nan_to_num(shares), 0.0, 1.0)[..., None]
    return np.rint(np.array(ground) + (np.array(colour) - np.array(ground)) * share).astype(np.uint8)


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
