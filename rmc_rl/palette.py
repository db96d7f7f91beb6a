"""The colours of the viewer, the pages and the plots: the Okabe-Ito hues, which people with any colour vision can tell
apart, on a dark ground.
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

_NEGATIVE, _ZERO, _POSITIVE = np.array(BLUE), np.array((30, 33, 48)), np.array(ORANGE)


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
