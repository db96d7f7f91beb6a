"""What every game of this package is made of: a ``Game`` (spaces, rules, drawing) and a ``Batch`` of it in play.

A game writes its rules as numba kernels over a structured array with one record per game of the batch, and names them
in a ``Game`` subclass. (Records, not one array per field: compiled functions pass a record as one pointer, which made
the kernels several times as fast.) ``Batch`` holds such a state with the buffers a step fills, seeds the games' random
streams, checks what comes from outside, and saves and restores everything. The Gymnasium environments of ``faces.py``
are thin faces of a batch: of one game, or of many.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rmc_envs.compiling import kernel
from rmc_envs.random_stream import LARGEST_SEED, seed_stream

Record = Any
"""One record of a structured array, as compiled code sees it: fields are attributes."""


class Outputs(NamedTuple):
    """The buffers of a step of B games."""

    action: np.ndarray
    """int64 [B]: what the games play, already checked"""
    observation: np.ndarray
    """[B, ...]"""
    reward: np.ndarray
    """float64 [B]"""
    terminated: np.ndarray
    """bool [B]"""
    truncated: np.ndarray
    """bool [B]"""
    needs_reset: np.ndarray
    """bool [B]: the last step ended the episode, the next one begins another"""


@kernel
def settle(outputs: Outputs, game: int, reward: float, terminated: bool, truncated: bool) -> None:
    """Write what a step of one game returned."""
    outputs.reward[game] = reward
    outputs.terminated[game] = terminated
    outputs.truncated[game] = truncated
    outputs.needs_reset[game] = terminated or truncated


@kernel
def _first_outside(actions: np.ndarray, count: int) -> int:
    """The first place in ``actions`` that is not in ``0 .. count - 1``; -1 if there is none."""
    for game in range(actions.size):
        if actions[game] < 0 or actions[game] >= count:
            return game
    return -1


class Game(ABC):
    """A kind of game: its spaces, its kernels and its picture. It holds options, never the state of a game.

    The state is a structured array [B]; one of its fields is ``stream``, the game's random stream
    (``random_stream.py``). The constructor takes the game's options as keywords.
    """

    observation_space: spaces.Box
    action_space: spaces.Discrete
    action_names: tuple[str, ...]  # for people: one word an action

    @abstractmethod
    def new_state(self, num_games: int) -> np.ndarray:
        """Records of games that have not begun; drawing them must be possible."""

    @abstractmethod
    def begin(self, state: np.ndarray, mask: np.ndarray) -> None:
        """Start an episode in every game where ``mask`` (bool [B]) is set, drawing from the game's stream."""

    @abstractmethod
    def step(self, state: np.ndarray, outputs: Outputs) -> None:
        """Play ``outputs.action`` and fill the rest of ``outputs``; where ``needs_reset`` is set, start an episode."""

    @abstractmethod
    def observe(self, state: np.ndarray, observation: np.ndarray) -> None:
        """Fill ``observation [B, ...]`` from the state alone."""

    @abstractmethod
    def impossible_fields(self, state: np.ndarray) -> list[str]:
        """The fields of ``state`` whose values no game can have: the kernels trust what they are given."""

    @abstractmethod
    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """A picture for people of one game, uint8 [height, width, 3]."""

    @abstractmethod
    def text(self, state: np.ndarray, game: int) -> str:
        """The same in plain characters, for a terminal."""


class Batch:
    """``num_games`` games of one kind in play.

    Arguments:
        game: the kind of game.
        num_games: how many, at least 1.
        num_threads: how many threads share a step. Each has its part of the games and they never meet, so the result is
            the same for any number.
    """

    def __init__(self, game: Game, num_games: int, num_threads: int = 1) -> None:
        self.game = game
        self.num_games = num_games = check_count("num_envs", num_games)
        self.num_threads = check_count("num_threads", num_threads)
        self.state = game.new_state(num_games)
        self._fields = self.state.dtype.names or ()
        space = game.observation_space
        self.outputs = Outputs(
            action=np.zeros(num_games, np.int64),
            observation=np.zeros((num_games, *space.shape), space.dtype),
            reward=np.zeros(num_games, np.float64),
            terminated=np.zeros(num_games, np.bool_),
            truncated=np.zeros(num_games, np.bool_),
            needs_reset=np.zeros(num_games, np.bool_),
        )
        self.started = np.zeros(num_games, np.bool_)
        """bool [B]: the game has been reset at least once, so it has a random stream."""
        self.all_started = False
        self._num_actions = int(game.action_space.n)
        self._pool: ThreadPoolExecutor | None = None
        self._pool_process = 0  # a forked process has the pool without its threads
        self._parts: list[tuple[np.ndarray, Outputs]] = []  # of each thread: views of the state and the outputs

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all but the threads, which start again when they are needed."""
        return self.__dict__ | {"_pool": None, "_parts": []}

    def close(self) -> None:
        """End the threads; they start again if they are needed."""
        if self._pool is not None and self._pool_process == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None

    def reset(self, seeds: Sequence[int | None], mask: np.ndarray, entropy: Callable[[], int]) -> None:
        """Begin an episode in the games of ``mask`` (bool [B]).

        A game with a seed gets a fresh random stream; one without goes on with its own, or, the very first time, takes
        a seed from ``entropy()``.

        Raises:
            ValueError: a seed outside 0 .. 2**64 - 1, or a number of seeds that is not the number of games.
            TypeError: a seed that is no integer.
        """
        if len(seeds) != self.num_games:
            raise ValueError(f"seed must hold one seed for each of the {self.num_games} games, got {len(seeds)}")
        checked = [None if seed is None else check_count("seed", seed, least=0, most=LARGEST_SEED) for seed in seeds]
        for index in np.flatnonzero(mask):
            seed = checked[index]
            if seed is None and not self.started[index]:
                seed = entropy()
            if seed is not None:
                seed_stream(self.state["stream"][index], np.uint64(seed))
        self.started |= mask
        self.all_started = bool(self.started.all())
        self.begin(mask)

    def begin(self, mask: np.ndarray) -> None:
        """Begin an episode in the games of ``mask`` (bool [B]); their random streams go on."""
        self.game.begin(self.state, mask)
        self.outputs.needs_reset[mask] = False
        observations = self.outputs.observation[mask]
        self.game.observe(self.state[mask], observations)
        self.outputs.observation[mask] = observations

    def step(self, actions: Any) -> Outputs:
        """Play one action of every game; the outputs returned are the batch's own buffers.

        Raises:
            ValueError: the wrong number of actions, or an action out of range.
            TypeError: actions that are no integers.
        """
        buffer = self.outputs.action
        actions = np.asarray(actions)
        if actions.dtype.kind not in "iu":
            raise TypeError(f"action must be of an integer dtype, got {actions.dtype}")
        if actions.shape != buffer.shape:
            raise ValueError(f"action must have shape {buffer.shape}, one for each game, got {actions.shape}")
        buffer[:] = actions
        wrong = _first_outside(buffer, self._num_actions)
        if wrong >= 0:
            raise ValueError(f"action must be in 0 .. {self._num_actions - 1}, got {actions[wrong]} for game {wrong}")
        if self.num_threads == 1:
            self.game.step(self.state, self.outputs)
        else:
            self._step_in_threads()
        return self.outputs

    def _step_in_threads(self) -> None:
        if self._pool is None or self._pool_process != os.getpid():
            self._pool = ThreadPoolExecutor(self.num_threads, thread_name_prefix="games")
            self._pool_process = os.getpid()
            bounds = np.linspace(0, self.num_games, min(self.num_threads, self.num_games) + 1).astype(int)
            slices = [slice(first, last) for first, last in pairwise(bounds)]
            self._parts = [(self.state[part], Outputs(*(buffer[part] for buffer in self.outputs))) for part in slices]
        # Compiled kernels let go of Python's lock, so the threads run side by side.
        for work in [self._pool.submit(self.game.step, state, outputs) for state, outputs in self._parts]:
            work.result()

    def step_one(self, action: int) -> Outputs:
        """``step`` for a batch of one game and a plain int."""
        if not 0 <= action < self._num_actions:
            raise ValueError(f"action must be in 0 .. {self._num_actions - 1}, got {action}")
        self.outputs.action[0] = action
        self.game.step(self.state, self.outputs)
        return self.outputs

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of everything that decides how the games go on; each array's first axis counts the games."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore what ``get_state`` returned, for the same number of games of the same kind.

        Raises:
            TypeError: no mapping.
            ValueError: a missing or unknown name, a wrong shape or dtype, or values no game can have. Nothing has
                changed then.
        """
        if not isinstance(arrays, Mapping):
            raise TypeError(f"state must be a mapping from names to arrays, got {arrays!r}")
        own = self._arrays()
        if set(arrays) != set(own):
            raise ValueError(f"state must hold exactly the arrays {sorted(own)}, got {list(arrays)}")
        restored = np.zeros_like(self.state)
        for name, array in own.items():
            given = np.asarray(arrays[name])
            if given.shape != array.shape or given.dtype != array.dtype:
                raise ValueError(
                    f"state[{name!r}] must be {array.dtype} of shape {array.shape}, got {given.dtype} of {given.shape}"
                )
            if name in self._fields:
                restored[name] = given
        impossible = self.game.impossible_fields(restored)
        if (np.asarray(arrays["started"]) & ~restored["stream"].any(axis=1)).any():
            impossible.append("stream")  # a generator of zeros draws nothing but zeros
        if impossible:
            raise ValueError(f"state holds values that no such game can have, in {', '.join(impossible)}")
        for name, array in own.items():
            array[...] = arrays[name]
        self.all_started = bool(self.started.all())
        self.game.observe(self.state, self.outputs.observation)

    def _arrays(self) -> dict[str, np.ndarray]:
        """The batch's own arrays by name, the state's fields among them as views."""
        fields = {name: self.state[name] for name in self._fields}
        return fields | {"needs_reset": self.outputs.needs_reset, "started": self.started}


def check_count(name: str, value: Any, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """The integer option ``value`` as an int.

    Raises:
        TypeError: it is no integer.
        ValueError: it is not in ``least .. most``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be in {least} .. {most}, got {value}")
    return int(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """The option ``value``, which must be one of ``choices``.

    Raises:
        ValueError: it is none of them.
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """The option ``value`` as a bool.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)
