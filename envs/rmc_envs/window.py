"""A pygame window that shows frames, for render mode ``"human"``. The only module that imports pygame."""

import numpy as np


class Window:
    """A window that opens with its first frame and can be closed by the user without ending the program.

    Arguments:
        title: in the window's bar.
        fps: frames per second; ``show`` waits so that no more are shown.
        scale: window pixels per frame pixel.
    """

    def __init__(self, title: str, fps: int, scale: int = 2) -> None:
        try:
            import pygame
        except ImportError as error:
            from gymnasium.error import DependencyNotInstalled

            raise DependencyNotInstalled('render_mode="human" needs pygame: pip install "rmc-envs[render]"') from error
        self._pygame = pygame
        self._title = title
        self._fps = fps
        self._scale = scale
        self._surface: pygame.Surface | None = None
        self.closed = False

    def show(self, frame: np.ndarray) -> None:
        """Show a frame, uint8 [height, width, 3]; nothing once the user has closed the window."""
        if self.closed:
            return
        pygame = self._pygame
        height, width = frame.shape[:2]
        size = (width * self._scale, height * self._scale)
        if self._surface is None:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._surface = pygame.display.set_mode(size)
            self._clock = pygame.time.Clock()
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.close()
            return
        picture = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        pygame.transform.scale(picture, size, self._surface)
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window; a second call does nothing."""
        if self._surface is not None:
            self._pygame.display.quit()
            self._surface = None
        self.closed = True
