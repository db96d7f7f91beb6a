"""The keys: those of the viewer, and those with which a person plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

KEYS = (
    ("space", "pause, go on"),
    ("right  or  .", "one step on"),
    ("left  or  ,", "one step back"),
    ("page down", "ten steps on"),
    ("page up", "ten steps back"),
    ("home", "to the first step"),
    ("end", "to the latest step"),
    ("n", "next episode"),
    ("p", "previous episode"),
    ("r", "play a seed"),
    ("up  or  +", "faster"),
    ("down  or  -", "slower"),
    ("g", "greedy or sampled actions"),
    ("t", "take over, hand back"),
    ("a", "attention: next head"),
    ("0  or  1", "mean of heads, head 1 … 9"),
    ("b", "attention: next block"),
    ("v", "start and end a video"),
    ("s", "save this picture"),
    ("h", "this help"),
    ("q  or  Esc", "quit"),
)
"""Each key and what it does, as the help shows them."""

FASTER = (pygame.K_UP, pygame.K_PLUS, pygame.K_KP_PLUS)
SLOWER = (pygame.K_DOWN, pygame.K_MINUS, pygame.K_KP_MINUS)
STEPS = {
    pygame.K_RIGHT: 1,
    pygame.K_PERIOD: 1,
    pygame.K_LEFT: -1,
    pygame.K_COMMA: -1,
    pygame.K_PAGEDOWN: 10,
    pygame.K_PAGEUP: -10,
}
"""Keys that go on or back, and by how many steps."""

REPEATING = (*FASTER, *SLOWER, *STEPS)
"""Keys that act again and again while they are held down."""

DIGITS = {getattr(pygame, f"K_{prefix}{i}"): i for prefix in ("", "KP") for i in range(10)}
"""Keys of digits and what they say."""

_MOVES = {"up": pygame.K_UP, "down": pygame.K_DOWN, "left": pygame.K_LEFT, "right": pygame.K_RIGHT}
_NOTHING = ("stay", "noop", "no-op", "wait", "nothing")
"""Names of the action that lets time pass."""

_FREE = "0123456789cdefijklmouwxyz"
"""Keys of other actions, in their order: digits, and letters that the viewer does not use."""


@dataclass(frozen=True)
class PersonKeys:
    """The keys of a person who plays.

    Attributes:
        actions: which action a key chooses.
        names: of the key of each action: a direction of the arrow keys, a character, or ``enter``.
        nothing: the action that lets time pass; None: the game has none and waits for its moves.
    """

    actions: dict[int, int]
    names: tuple[str, ...]
    nothing: int | None

    @classmethod
    def of(cls, action_names: Sequence[str]) -> PersonKeys:
        """Arrows for what is called up, down, left and right, enter for doing nothing, digits and letters for the rest.

        Raises:
            ValueError: there are not enough keys.
        """
        lower = [name.lower() for name in action_names]
        free = iter(_FREE)
        nothing = next((i for i, name in enumerate(lower) if name in _NOTHING), None)
        actions, names = {}, []
        for i, name in enumerate(lower):
            if name in _MOVES and lower.index(name) == i:
                key, shown = _MOVES[name], name
            elif i == nothing:
                key, shown = pygame.K_RETURN, "enter"
            else:
                character = next(free, None)
                if character is None:
                    raise ValueError(f"the {len(lower)} actions of this game are too many for the keys")
                key, shown = ord(character), character  # as SDL has them
            actions[key] = i
            names.append(shown)
        return cls(actions, tuple(names), nothing)
