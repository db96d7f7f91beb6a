"""The steps that were played, to go back to: the latest episodes, bounded in memory.

A board is by far the largest thing in a step (Mini Pacman's takes 550 KB) and mostly plain colour: compressed without
loss it takes some 10 KB, half a millisecond to write and a millisecond to read.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rmc_agents.tree import leaves, map_tree
from rmc_rl.viewer.step import Step, Timeline

MOST_BYTES = 256 * 2**20
"""What the kept steps may take; some 15,000 steps of Mini Pacman."""

STEP_BYTES = 3072
"""What a kept step takes beside its arrays, about: of a small memory that is most of it."""

SMALLEST_PACKED = 2048
"""Bytes from which compression is worth the time."""


@dataclass
class _Episode:
    timeline: Timeline = field(default_factory=Timeline)
    steps: deque[_Kept] = field(default_factory=deque)
    forgotten: int = 0  # steps that were thrown away at its beginning


class History:
    """Recorded steps and a place among them, where the viewer stands: the latest step, or an earlier one.

    Args:
        most_bytes: beyond that the earliest steps are thrown away, never the latest.

    Attributes:
        bytes: what the kept steps take.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.bytes = 0
        self._episodes: list[_Episode] = []
        self._place = (0, 0)  # which episode, which of its steps
        self._step: Step | None = None

    @property
    def step(self) -> Step:
        """The step where the viewer stands."""
        if self._step is None:
            episode, number = self._place
            kept = self._episodes[episode]
            self._step = kept.steps[number - kept.forgotten].unpacked()
        return self._step

    @property
    def timeline(self) -> Timeline:
        """The course of its episode, as far as it was played."""
        return self._episodes[self._place[0]].timeline

    @property
    def at_latest(self) -> bool:
        """Whether it is the latest step of all."""
        return self._place == (len(self._episodes) - 1, len(self._episodes[-1].timeline) - 1)

    @property
    def since(self) -> int:
        """The first step of its episode that is still kept."""
        return self._episodes[self._place[0]].forgotten

    def add(self, step: Step) -> None:
        """Record the next step, and stand there."""
        if step.number == 0:
            self._episodes.append(_Episode())
        episode = self._episodes[-1]
        episode.timeline.add(step)
        episode.steps.append(_Kept(step))
        self.bytes += episode.steps[-1].size
        self._place, self._step = (len(self._episodes) - 1, step.number), step
        self._forget()

    def amend(self, step: Step) -> None:
        """The latest step is this one: a person chose another action. Stand there."""
        episode = self._episodes[-1]
        self.bytes -= episode.steps.pop().size
        episode.steps.append(_Kept(step))
        self.bytes += episode.steps[-1].size
        episode.timeline.amend(step)
        self._place, self._step = (len(self._episodes) - 1, step.number), step

    def move(self, count: int) -> bool:
        """Go on or back by so many steps, over the ends of episodes; whether it led anywhere."""
        episode, number = self._place
        number += count
        while number < self._episodes[episode].forgotten and episode > 0:
            episode -= 1
            number += len(self._episodes[episode].timeline)
        while number >= len(self._episodes[episode].timeline) and episode < len(self._episodes) - 1:
            number -= len(self._episodes[episode].timeline)
            episode += 1
        return self._stand(episode, number)

    def seek(self, number: int) -> bool:
        """Go to a step of this episode, or to the nearest to it that is kept; whether that is another one."""
        return self._stand(self._place[0], number)

    def move_episode(self, count: int) -> bool:
        """Go to the first kept step of an episode, so many on; False where there is none."""
        episode = self._place[0] + count
        return 0 <= episode < len(self._episodes) and self._stand(episode, 0)

    def latest(self) -> bool:
        """Go to the latest step of all; whether that is another one."""
        return self._stand(len(self._episodes) - 1, len(self._episodes[-1].timeline) - 1)

    def _stand(self, episode: int, number: int) -> bool:
        kept = self._episodes[episode]
        place = (episode, min(max(number, kept.forgotten), len(kept.timeline) - 1))
        if place == self._place:
            return False
        self._place, self._step = place, None
        return True

    def _forget(self) -> None:
        while self.bytes > self._most_bytes and (len(self._episodes) > 1 or len(self._episodes[0].steps) > 1):
            earliest = self._episodes[0]
            self.bytes -= earliest.steps.popleft().size
            earliest.forgotten += 1
            if not earliest.steps:
                del self._episodes[0]
                self._place = (self._place[0] - 1, self._place[1])


class _Kept:
    """A step with its large arrays compressed."""

    def __init__(self, step: Step) -> None:
        observation = map_tree(_Packed, step.observation)
        board = None if step.board is None else _Packed(step.board)
        self._step = replace(step, board=None, observation=None)
        self._board, self._observation = board, observation
        packed = [*leaves(observation), *([board] if board is not None else [])]
        numbers = [part.values for part in (*step.memory, *step.gates)]
        numbers += [step.attention] if step.attention is not None else []
        self.size = STEP_BYTES + sum(len(each.content) for each in packed) + sum(array.nbytes for array in numbers)

    def unpacked(self) -> Step:
        """The step as it was."""
        board = None if self._board is None else self._board.array()
        return replace(self._step, board=board, observation=map_tree(lambda leaf: leaf.array(), self._observation))


class _Packed:
    """An array as bytes, compressed where that is worth it."""

    def __init__(self, array: Any) -> None:
        array = np.asarray(array)
        self._shape, self._dtype = array.shape, array.dtype
        self._compressed = array.nbytes >= SMALLEST_PACKED
        content = array.tobytes()
        self.content = zlib.compress(content, level=1) if self._compressed else content

    def array(self) -> np.ndarray:
        """The array as it was."""
        content = zlib.decompress(self.content) if self._compressed else self.content
        return np.frombuffer(content, self._dtype).reshape(self._shape)
