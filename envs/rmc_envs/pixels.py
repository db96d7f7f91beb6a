"""Drawing with numpy: a canvas, rectangles, and smooth sprites blended onto it. The palette of all games.

A picture is uint8 [height, width, 3]; a sprite is float32 [height, width, 4], colours 0 .. 255 and alpha 0 .. 1 last.
"""

from collections.abc import Callable, Sequence

import numpy as np

Colour = tuple[int, int, int]
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes x (to the right) and y (down), both from -1 to 1 across a square, and returns where the shape covers it."""

NIGHT: Colour = (13, 15, 26)
DULL: Colour = (46, 52, 84)
PALE: Colour = (214, 216, 232)
YELLOW: Colour = (255, 205, 40)
CYAN: Colour = (40, 226, 232)

_FINE = 6  # samples per pixel side, for smooth edges


def canvas(height: int, width: int, colour: Colour = NIGHT) -> np.ndarray:
    """A picture of one colour."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = colour
    return picture


def fill(picture: np.ndarray, top: int, left: int, height: int, width: int, colour: Colour) -> None:
    """Fill a rectangle; what lies outside the picture is left out."""
    picture[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = colour


def outline(picture: np.ndarray, top: int, left: int, height: int, width: int, thickness: int, colour: Colour) -> None:
    """Draw a rectangle's border inwards from its edge; what lies outside the picture is left out."""
    fill(picture, top, left, thickness, width, colour)
    fill(picture, top + height - thickness, left, thickness, width, colour)
    fill(picture, top, left, height, thickness, colour)
    fill(picture, top, left + width - thickness, height, thickness, colour)


def dim(picture: np.ndarray, share: float) -> np.ndarray:
    """The picture with its light reduced to ``share``."""
    return (picture * share).astype(np.uint8)


def disc(radius: float, right: float = 0.0, down: float = 0.0) -> Shape:
    """A filled circle about ``(right, down)``."""
    return lambda x, y: (x - right) ** 2 + (y - down) ** 2 < radius**2


def sprite(size: int, layers: Sequence[tuple[Shape, Colour]]) -> np.ndarray:
    """A square sprite of ``size`` pixels, from shapes laid over one another, the last on top."""
    fine = size * _FINE
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    x, y = np.meshgrid(axis, axis)
    colours = np.zeros((fine, fine, 3), np.float32)
    cover = np.zeros((fine, fine), np.float32)
    for shape, colour in layers:
        inside = shape(x, y)
        colours[inside] = colour
        cover[inside] = 1.0
    blocks = (size, _FINE, size, _FINE)
    alpha = cover.reshape(blocks).mean(axis=(1, 3))
    premultiplied = (colours * cover[..., None]).reshape(*blocks, 3).mean(axis=(1, 3))
    straight = premultiplied / np.maximum(alpha, 1e-6)[..., None]
    return np.concatenate([straight, alpha[..., None]], axis=-1).astype(np.float32)


def blend(picture: np.ndarray, top: int, left: int, stamp: np.ndarray) -> None:
    """Lay a sprite over the picture; it must lie inside."""
    height, width = stamp.shape[:2]
    under = picture[top : top + height, left : left + width]
    alpha = stamp[..., 3:]
    under[:] = np.rint(stamp[..., :3] * alpha + under * (1 - alpha)).astype(np.uint8)


_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    "+": "00000 00100 00100 11111 00100 00100 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
}
"""Digits and signs, 5 wide and 7 high, row by row."""


def letters(number: str, scale: int, colour: Colour) -> np.ndarray:
    """A number as a sprite, ``7 * scale`` high; digits, ``+``, ``-`` and ``.`` only."""
    glyphs = [np.array([[int(bit) for bit in row] for row in _GLYPHS[sign].split()]) for sign in number]
    cover = np.concatenate([np.pad(glyph, ((0, 0), (0, 1))) for glyph in glyphs], axis=1)[:, :-1]
    alpha = np.kron(cover, np.ones((scale, scale), int)).astype(np.float32)
    return np.concatenate(
        [np.broadcast_to(np.asarray(colour, np.float32), (*alpha.shape, 3)), alpha[..., None]], axis=-1
    )


def tile(frames: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Pictures of one size, uint8 [height, width, 3] each, in rows: as many columns as make it closest to a square."""
    height, width = frames[0].shape[:2]
    count = len(frames)

    def is_long(columns: int) -> float:
        sides = -(-count // columns) * (height + gap), columns * (width + gap)
        return max(sides) / min(sides)

    columns = min(range(count, 0, -1), key=is_long)  # the wider of two that are equal
    rows = -(-count // columns)
    picture = canvas(rows * (height + gap) - gap, columns * (width + gap) - gap)
    for number, frame in enumerate(frames):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        picture[top : top + height, left : left + width] = frame
    return picture
