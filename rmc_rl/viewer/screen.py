"""The window's place on a screen, where there is one."""

from __future__ import annotations

import os
import sys

import pygame

from rmc_rl.errors import UserError


def open_display(size: tuple[int, int], title: str) -> None:
    """Open the window.

    Args:
        size: in pixels; made smaller where the screen is.
        title: in the window's frame.

    Raises:
        UserError: there is no display.
    """
    remedy = "record=out.gif (or out.mp4) makes a recording without one"
    variables = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in variables):
        raise UserError(f"there is no display to open a window on (DISPLAY is not set): {remedy}")
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver == "offscreen" and not os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("the display does not answer")  # SDL falls back to a window that nobody sees
        widths, heights = zip(*pygame.display.get_desktop_sizes(), strict=True)
        fitting = (min(size[0], max(widths)), min(size[1], max(heights)))
        pygame.display.set_mode(fitting, pygame.RESIZABLE)
    except pygame.error as error:
        pygame.display.quit()
        raise UserError(f"no window can be opened ({error}): {remedy}") from error
    pygame.display.set_caption(f"{title} · rmc-rl")
    pygame.key.set_repeat(350, 60)
