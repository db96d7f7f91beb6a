"""A person at play: which keys are down, and what the next step is to be."""

from __future__ import annotations

from rmc_rl.viewer.keys import PersonKeys


class Person:
    """Chooses actions by keys while the game runs by the clock.

    Args:
        keys: of the actions.
        was_paused: whether the agent waited before the person took over.
    """

    def __init__(self, keys: PersonKeys, *, was_paused: bool) -> None:
        self.keys = keys
        self.was_paused = was_paused
        self._held: list[int] = []  # in the order of pressing
        self._tapped: int | None = None  # the last that went down since the last step

    def press(self, key: int) -> None:
        """A key of an action goes down."""
        self._tapped = key
        if key not in self._held:
            self._held.append(key)

    def release(self, key: int) -> None:
        """A key goes up."""
        if key in self._held:
            self._held.remove(key)

    def choose(self) -> int | None:
        """The next step: the last key pressed since the last one, else a key held down, else letting time pass."""
        key = self._tapped if self._tapped is not None else (self._held[-1] if self._held else None)
        self._tapped = None
        return self.keys.nothing if key is None else self.keys.actions[key]
