"""Watching a trained agent: what happens at each step, and pictures of it.

    session.py    plays episodes and yields a `Step` (step.py) for every moment; knows neither pygame nor windows
    panels.py     draws one step onto a pygame surface, with layout.py (what lies where), canvas.py (text, pictures,
                  curves); knows no events and no display
    window.py     shows the drawing in a window and obeys the keys
    recorder.py   writes the drawing to a GIF or MP4, without a display, through encoder.py (FFmpeg)

session.py and step.py import no pygame.
"""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on standard output when it is imported
