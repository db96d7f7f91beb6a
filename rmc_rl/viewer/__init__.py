"""Watching a trained agent: what happens at each step, and pictures of it.

    session.py    plays episodes and yields a `Step` (step.py) for every moment; knows neither pygame nor windows
    history.py    the steps that were played, to go back to
    panels.py     draws one step onto a pygame surface, with layout.py (what lies where), canvas.py (text, pictures,
                  curves), elements.py (cards, scales) and one module for each larger part: policy_panel.py,
                  memory_panel.py, attention_panel.py, course_panel.py; knows no events and no display
    window.py     shows the drawing in a window and obeys keys (keys.py) and mouse; person.py when a person plays,
                  camera.py and capture.py for pictures and videos of what is shown
    recorder.py   writes the drawing to a file, without a display, through encoder.py (FFmpeg)

session.py, step.py, history.py and selection.py import no pygame.
"""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on standard output when it is imported
# Environments that begin with pygame.init() would have it look for a sound card, which complains where there is none.
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
