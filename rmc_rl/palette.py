"""The colours of the viewer, the pages and the plots: the Okabe-Ito hues, which people with any colour vision can tell
apart, on a dark ground; for what is printed, on paper.
"""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]

GROUND: Colour = (13, 15, 24)
CARD: Colour = (23, 26, 40)
TRACK: Colour = (40, 45, 66)
TEXT: Colour = (235, 237, 245)
QUIET: Colour = (146, 153, 178)
BLUE: Colour = (86, 180, 233)
ORANGE: Colour = (240, 166, 30)
VERMILION: Colour = (232, 110, 48)
YELLOW: Colour = (240, 228, 66)
GREEN: Colour = (30, 184, 138)
PURPLE: Colour = (214, 130, 178)

PAPER: Colour = (255, 255, 255)
PAPER_CARD: Colour = (246, 247, 250)
PAPER_TRACK: Colour = (217, 221, 230)
PAPER_TEXT: Colour = (28, 31, 42)
PAPER_QUIET: Colour = (94, 101, 120)

# Okabe and Ito's order: orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple, and last what stands
# out from the ground most. Darker on paper, where the light hues would pale and yellow, left out, would vanish.
SERIES: tuple[Colour, ...] = (
    ORANGE,
    BLUE,
    (0, 158, 115),
    YELLOW,
    (70, 130, 220),
    VERMILION,
    (214, 130, 178),
    TEXT,
)
PAPER_SERIES: tuple[Colour, ...] = (
    (200, 132, 0),
    (60, 152, 216),
    (0, 124, 88),
    (0, 78, 132),
    (184, 60, 0),
    (184, 98, 152),
    PAPER_TEXT,
)
DASHES: tuple[tuple[float, ...], ...] = ((), (5.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5))
"""Of lines, when the colours are used up: lengths of dash and gap in widths of the line; the first is unbroken."""

_NEGATIVE, _ZERO, _POSITIVE = np.array(BLUE), np.array((30, 33, 48)), np.array(ORANGE)


def css(colour: Colour) -> str:
    """A colour as style sheets and drawing libraries write it: ``#f0a61e``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def heat(values: np.ndarray, limit: float) -> np.ndarray:
    """Colours of numbers: blue for -limit and below, nearly black for 0, orange for limit and above.

    Args:
        values: any shape.
        limit: above 0; NaN is shown as 0.

    Returns:
        uint8 [*shape, 3].
    """
    share = np.clip(np.nan_to_num(values / limit), -1.0, 1.0)[..., None]
    towards = np.where(share < 0, _NEGATIVE, _POSITIVE)
    return np.rint(_ZERO + (towards - _ZERO) * np.abs(share)).astype(np.uint8)
