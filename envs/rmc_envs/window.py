"""pygame windows: ``Window`` shows frames, for render mode ``"human"``; ``PlayWindow`` is for play with the keyboard.

The only module that imports pygame. It is imported where a window is wanted, not before.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error

from rmc_envs import pixels

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    import pygame
except ImportError as error:
    raise DependencyNotInstalled(f'a window needs pygame ({error}): pip install "rmc-envs[render]"') from error


class NoDisplay(Error):
    """There is no display to open a window on."""


class Window:
    """A window that opens with its first frame and can be closed by the user without ending the program.

    Arguments:
        title: in the window's bar.
        fps: frames per second; ``show`` waits so that no more are shown.
        scale: window pixels per frame pixel; fewer where the screen is too small.
    """

    def __init__(self, title: str, fps: float, scale: int = 2) -> None:
        self._title = title
        self._fps = fps
        self._scale = scale
        self._surface: pygame.Surface | None = None
        self._clock = pygame.time.Clock()
        self.closed = False

    def show(self, frame: np.ndarray) -> None:
        """Show a frame, uint8 [height, width, 3]; nothing once the user has closed the window.

        Raises:
            NoDisplay: no window can be opened.
        """
        height, width = frame.shape[:2]
        surface = self._ready(width * self._scale, height * self._scale)
        if surface is not None:
            _draw_frame(surface, frame, surface.get_rect())
            self._present()

    def close(self) -> None:
        """Close the window; a second call does nothing."""
        if self._surface is not None:
            pygame.display.quit()
            self._surface = None
        self.closed = True

    def _ready(self, width: int, height: int) -> pygame.Surface | None:
        """What to draw on, or None once the window is closed. The first call opens it.

        pygame has one display: where another window of this process has closed it, this one opens it again.
        """
        if not self.closed and (self._surface is None or not pygame.display.get_init()):
            self._surface = _open_display(self._title, width, height)
        self._read_events()
        return self._surface

    def _read_events(self) -> None:
        for event in pygame.event.get() if pygame.display.get_init() else []:
            self._take(event)

    def _take(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.close()

    def _present(self) -> float:
        """Bring what was drawn on the screen; the seconds since the last time, ``1 / fps`` or more."""
        pygame.display.flip()
        return self._clock.tick(self._fps) / 1000


class Key(NamedTuple):
    """A key that went down or up."""

    name: str
    """"a", "1", "up", "space", "return", "escape", …"""
    down: bool
    repeated: bool = False
    """it is held down and counts again"""


@dataclass(frozen=True)
class Panel:
    """What a person at play is told."""

    title: str
    score: str
    figures: Sequence[tuple[str, str]]
    """names and values"""
    keys: Sequence[tuple[Sequence[str], str]]
    """names of keys, and what they do"""
    status: str
    notice: Sequence[str] = ()
    """lines laid over the picture, the first one large"""


class PlayWindow(Window):
    """A window for play: a picture with a panel beside it. It tells which keys went down and up.

    Arguments:
        title: in the window's bar.
        fps: pictures per second, as often as keys are read.
    """

    def __init__(self, title: str, fps: float = 60) -> None:
        super().__init__(title, fps)
        self._keys: list[Key] = []
        self._held: dict[int, str] = {}  # names of the keys held down
        self._fonts: dict[int, pygame.font.Font] = {}
        self._unit = 1.0
        self._drawn: tuple[np.ndarray, Panel] | None = None
        self.elapsed = 0.0
        """Seconds between the last two pictures."""

    def show_play(self, frame: np.ndarray, panel: Panel) -> None:
        """Show a frame, uint8 [height, width, 3], and the panel; nothing once the window is closed.

        The same frame (the same object) with the same panel is not drawn again.

        Raises:
            NoDisplay: no window can be opened.
        """
        opens = self._surface is None
        surface = self._ready(*_PLAY_SIZE)
        if surface is None:
            return
        if opens:
            pygame.font.init()
            pygame.key.set_repeat(*_REPEAT)
        if self._drawn is None or self._drawn[0] is not frame or self._drawn[1] != panel:
            self._draw(surface, frame, panel)
            self._drawn = frame, panel
        self.elapsed = self._present()

    def take_keys(self) -> list[Key]:
        """The keys that went down or up since the last call, in order."""
        self._read_events()
        taken, self._keys = self._keys, []
        return taken

    def _take(self, event: pygame.event.Event) -> None:
        super()._take(event)
        if event.type == pygame.KEYDOWN:
            repeated = event.key in self._held
            name = self._held.setdefault(event.key, _key_name(event))
            self._keys.append(Key(name, down=True, repeated=repeated))
        elif event.type == pygame.KEYUP and event.key in self._held:
            self._keys.append(Key(self._held.pop(event.key), down=False))

    def _draw(self, surface: pygame.Surface, frame: np.ndarray, panel: Panel) -> None:
        width, height = surface.get_size()
        self._unit = min(width / _PLAY_SIZE[0], height / _PLAY_SIZE[1])
        gap, side = self._pixels(20), self._pixels(290)
        surface.fill(pixels.NIGHT)
        box = pygame.Rect(gap, gap, width - side - 3 * gap, height - 2 * gap)
        _draw_frame(surface, frame, box)
        if panel.notice:
            self._draw_notice(surface, panel.notice, box)
        self._draw_panel(surface, panel, pygame.Rect(box.right + gap, gap, side, box.height))

    def _draw_notice(self, surface: pygame.Surface, lines: Sequence[str], box: pygame.Rect) -> None:
        """A card in the middle of the box."""
        sizes = [_LARGE, *[_PLAIN] * (len(lines) - 1)]
        widths = [self._width(line, size) for line, size in zip(lines, sizes, strict=True)]
        pad, pitch = self._pixels(28), self._pixels(1.6 * _PLAIN)
        card = pygame.Rect(0, 0, max(widths) + 2 * pad, self._pixels(_LARGE) + pitch * (len(lines) - 1) + 2 * pad)
        card.center = box.center
        shade = pygame.Surface(card.size, pygame.SRCALPHA)
        pygame.draw.rect(shade, (*_CARD, 235), shade.get_rect(), border_radius=self._pixels(14))
        pygame.draw.rect(shade, _CAP_EDGE, shade.get_rect(), self._pixels(2), border_radius=self._pixels(14))
        surface.blit(shade, card)
        top = card.top + pad
        self._write(surface, lines[0], card.centerx, top + self._pixels(_LARGE) // 2, _LARGE, pixels.YELLOW, "centre")
        top += self._pixels(_LARGE)
        for number, line in enumerate(lines[1:]):
            self._write(
                surface, line, card.centerx, top + pitch * number + pitch // 2 + pad // 4, _PLAIN, _TEXT, "centre"
            )

    def _draw_panel(self, surface: pygame.Surface, panel: Panel, box: pygame.Rect) -> None:
        row, y = self._pixels(30), box.top + self._pixels(14)
        self._write(surface, panel.title, box.left, y, self._fitting(panel.title, _PLAIN, box.width), _TEXT)
        y += self._pixels(40)
        self._write(surface, "score", box.left, y, _SMALL, _QUIET)
        y += self._pixels(42)
        self._write(surface, panel.score, box.left, y, self._fitting(panel.score, _HUGE, box.width), pixels.YELLOW)
        y += self._pixels(52)
        for name, value in panel.figures:
            self._write(surface, name, box.left, y, _SMALL, _QUIET)
            self._write(surface, value, box.right, y, _PLAIN, _TEXT, "right")
            y += row
        y += self._pixels(4)
        pygame.draw.line(surface, _CAP_EDGE, (box.left, y), (box.right, y))
        y += self._pixels(32)
        for names, meaning in panel.keys:
            x = box.left
            for name in names:
                x += self._draw_cap(surface, name, x, y) + self._pixels(6)
            left = max(x + self._pixels(6), box.left + self._pixels(104))
            self._write(surface, meaning, left, y, self._fitting(meaning, _SMALL, box.right - left), _TEXT)
            y += self._pixels(42)
        self._write(surface, panel.status, box.left, box.bottom - row // 2, _SMALL, pixels.CYAN)

    def _draw_cap(self, surface: pygame.Surface, name: str, left: int, y: int) -> int:
        """Draw a key whose vertical middle is y; how wide it is."""
        label = _CAP_NAMES.get(name, name.upper())
        if name == "…":
            return self._write(surface, label, left, y, _PLAIN, _QUIET)
        size = self._pixels(32)
        room = 0 if name in _ARROWS else self._width(label, _SMALL) + self._pixels(16)
        cap = pygame.Rect(left, y - size // 2, max(size, room), size)
        radius = self._pixels(6)
        pygame.draw.rect(surface, _CAP_EDGE, cap.move(0, self._pixels(2)), border_radius=radius)
        pygame.draw.rect(surface, _CAP, cap, border_radius=radius)
        pygame.draw.rect(surface, _CAP_EDGE, cap, 1, border_radius=radius)
        if name in _ARROWS:
            surface.blit(_arrow(size, *_ARROWS[name]), cap)
        else:
            self._write(surface, label, cap.centerx, cap.centery, _SMALL, _TEXT, "centre")
        return cap.width

    def _write(
        self,
        surface: pygame.Surface,
        words: str,
        x: int,
        y: int,
        size: float,
        colour: pixels.Colour,
        align: Literal["left", "right", "centre"] = "left",
    ) -> int:
        """Write one line whose vertical middle is y; how wide it is."""
        large = self._font(size).render(words, True, colour)
        width, height = (-(-side // _OVERSAMPLING) for side in large.get_size())
        drawn = pygame.transform.smoothscale(large, (width, height))
        surface.blit(drawn, (x - {"left": 0, "centre": width // 2, "right": width}[align], y - height // 2))
        return width

    def _fitting(self, words: str, size: float, width: int) -> float:
        """The largest size up to ``size`` at which the words are no wider than ``width`` pixels."""
        return size * min(1.0, width / max(1, self._width(words, size)))

    def _width(self, words: str, size: float) -> int:
        return -(-self._font(size).size(words)[0] // _OVERSAMPLING)

    def _font(self, size: float) -> pygame.font.Font:
        height = _OVERSAMPLING * self._pixels(size)
        if height not in self._fonts:
            self._fonts[height] = pygame.font.Font(None, height)  # the one that comes with pygame
        return self._fonts[height]

    def _pixels(self, length: float) -> int:
        """A length in a window of ``_PLAY_SIZE``, in this one."""
        return max(1, round(length * self._unit))


_PLAY_SIZE = (1280, 800)
_SCREEN_EDGE = (16, 96)
"""Pixels of the screen's width and height left free, for the window's frame and the desktop's bars."""
_REPEAT = (300, 120)
"""Milliseconds until a key held down counts again, and from then on."""
_TEXT, _QUIET = (236, 238, 246), (150, 157, 184)
_CARD, _CAP, _CAP_EDGE = (20, 23, 40), (36, 41, 68), (84, 92, 138)
_HUGE, _LARGE, _PLAIN, _SMALL = 76, 52, 28, 24
_OVERSAMPLING = 3
"""Text is written larger and reduced: at its own size its letters would be moved to whole pixels, unevenly."""
_ARROWS = {"right": (1, 0), "up": (0, -1), "left": (-1, 0), "down": (0, 1)}
_CAP_NAMES = {"return": "Enter", "escape": "Esc", "space": "Space"}


def _open_display(title: str, width: int, height: int) -> pygame.Surface:
    """Open a window of that size, or smaller where the screen is, in the same proportions.

    Raises:
        NoDisplay: that is not possible.
    """
    try:
        pygame.display.init()
        if pygame.display.get_driver() in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("no display answers")  # where there is none, SDL draws windows that nobody sees
        screen = pygame.display.get_desktop_sizes()[0]
        room = [max(size - edge, 1) for size, edge in zip(screen, _SCREEN_EDGE, strict=True)]
        share = min(1.0, room[0] / width, room[1] / height)
        pygame.display.set_caption(title)
        return pygame.display.set_mode((max(1, int(width * share)), max(1, int(height * share))))
    except pygame.error as error:
        pygame.display.quit()
        raise NoDisplay(f'no window can be opened ({error}); render_mode="rgb_array" needs no display') from error


def _draw_frame(surface: pygame.Surface, frame: np.ndarray, box: pygame.Rect) -> None:
    """Draw a frame as large as fits into the middle of the box.

    Unless the factor is a whole number, it is enlarged by the next one and then smoothly reduced, so that all lines
    stay equally wide.
    """
    height, width = frame.shape[:2]
    factor = min(box.width / width, box.height / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    whole = int(np.ceil(factor))
    picture = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
    picture = pygame.transform.scale(picture, (width * whole, height * whole))
    if picture.get_size() != size:
        picture = pygame.transform.smoothscale(picture, size)
    surface.blit(picture, picture.get_rect(center=box.center))


def _arrow(size: int, right: int, down: int) -> pygame.Surface:
    """A triangle in the middle of a transparent square."""

    def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ahead, aside = x * right + y * down, np.abs(x * down) + np.abs(y * right)
        return (ahead > -0.28) & (ahead + 1.5 * aside < 0.38)

    stamp = pixels.sprite(size, [(triangle, _TEXT)])
    picture = pygame.Surface((size, size), pygame.SRCALPHA)
    picture.fill((*_TEXT, 255))
    pygame.surfarray.pixels_alpha(picture)[:] = np.rint(255 * stamp[..., 3].T).astype(np.uint8)
    return picture


def _key_name(event: pygame.event.Event) -> str:
    """What the key is called; a digit by what it writes, for on some keyboards it shares its key with a letter."""
    if event.unicode and event.unicode in "0123456789":
        return event.unicode
    name = pygame.key.name(event.key)
    if len(name) == 3 and name[0] == "[":  # of the number pad
        return name[1]
    return "return" if name == "enter" else name
