"""Repeat First: the smallest game that only a memory can win, for quick checks that a core learns to remember."""

from typing import Any

import numpy as np
from gymnasium import spaces

from rmc_envs import pixels
from rmc_envs.batch import Game, Outputs, Record, check_count, settle
from rmc_envs.compiling import kernel
from rmc_envs.faces import GameEnv, GameVectorEnv
from rmc_envs.random_stream import STREAM_WORDS, below

STATE = np.dtype(
    [
        ("stream", np.uint64, STREAM_WORDS),  # random stream
        ("target", np.int32),  # the symbol of the episode's first row
        ("shown", np.int32),  # the symbol of the present row
        ("frame", np.int32),  # steps of this episode
    ],
    align=True,
)
"""One game."""


def memoryless_return(num_symbols: int = 4, length: int = 8) -> float:
    """The largest expected return of a policy that sees the present observation only.

    It knows the target in the first row and guesses in the others: ``(1 + (length - 1) / num_symbols) / length``.
    """
    return (1 + (length - 1) / num_symbols) / length


@kernel
def start_episode(game: Record, num_symbols: int) -> None:
    """Draw a target and show it."""
    game.target = below(game.stream, num_symbols)
    game.shown = game.target
    game.frame = 0


@kernel
def play(game: Record, num_symbols: int, length: int, action: int) -> tuple[float, bool, bool]:
    """One step of one game: its reward, whether the episode ended, and False, for it is never cut short."""
    reward = 1.0 / length if action == game.target else 0.0
    game.shown = below(game.stream, num_symbols)
    game.frame += 1
    return reward, game.frame >= length, False


@kernel
def observe(game: Record, observation: np.ndarray) -> None:
    """Fill ``observation [num_symbols]`` with the shown symbol, one-hot."""
    observation[:] = 0.0
    observation[game.shown] = 1.0


@kernel
def begin(state: np.ndarray, num_symbols: int, mask: np.ndarray) -> None:
    """Start an episode in every game where ``mask`` (bool [B]) is set."""
    for index in range(state.size):
        if mask[index]:
            start_episode(state[index], num_symbols)


@kernel
def draw(state: np.ndarray, observation: np.ndarray) -> None:
    """Fill every game's row of ``observation [B, num_symbols]``."""
    for index in range(state.size):
        observe(state[index], observation[index])


@kernel
def step(state: np.ndarray, num_symbols: int, length: int, outputs: Outputs) -> None:
    """Play ``outputs.action`` in every game, or start the next episode where the last one ended."""
    for index in range(state.size):
        if outputs.needs_reset[index]:
            start_episode(state[index], num_symbols)
            settle(outputs, index, 0.0, False, False)
        else:
            reward, terminated, truncated = play(state[index], num_symbols, length, outputs.action[index])
            settle(outputs, index, reward, terminated, truncated)
        observe(state[index], outputs.observation[index])


class RepeatFirst(Game):
    """Repeat First; the options are those of ``RepeatFirstEnv``."""

    def __init__(self, *, num_symbols: int = 4, length: int = 8) -> None:
        self.num_symbols = check_count("num_symbols", num_symbols, least=2, most=64)
        self.length = check_count("length", length)
        self.observation_space = spaces.Box(0.0, 1.0, (self.num_symbols,), np.float32)
        self.action_space = spaces.Discrete(self.num_symbols)
        self.action_names = tuple(f"symbol {symbol}" for symbol in range(self.num_symbols))

    def new_state(self, num_games: int) -> np.ndarray:
        """Records of ``num_games`` games."""
        return np.zeros(num_games, STATE)

    def begin(self, state: np.ndarray, mask: np.ndarray) -> None:
        """Start an episode where ``mask`` is set."""
        begin(state, self.num_symbols, mask)

    def step(self, state: np.ndarray, outputs: Outputs) -> None:
        """Play one step of every game."""
        step(state, self.num_symbols, self.length, outputs)

    def observe(self, state: np.ndarray, observation: np.ndarray) -> None:
        """Fill every game's observation."""
        draw(state, observation)

    def impossible_fields(self, state: np.ndarray) -> list[str]:
        """Symbols that do not exist, and a frame after the end."""
        symbols = np.arange(self.num_symbols)
        possible = {
            "target": np.isin(state["target"], symbols).all(),
            "shown": np.isin(state["shown"], symbols).all(),
            "frame": ((state["frame"] >= 0) & (state["frame"] <= self.length)).all(),
        }
        return [name for name, holds in possible.items() if not holds]

    def frame(self, state: np.ndarray, game: int) -> np.ndarray:
        """The symbols as a row of tiles.

        The shown one is lit, the target has a bar below it, and a line at the bottom fills as the episode runs out.
        uint8 [80, 48 * num_symbols, 3].
        """
        picture = pixels.canvas(80, 48 * self.num_symbols)
        for symbol in range(self.num_symbols):
            left = 48 * symbol
            colour = pixels.YELLOW if symbol == state["shown"][game] else pixels.DULL
            pixels.fill(picture, 8, left + 6, 36, 36, colour)
            if symbol == state["target"][game]:
                pixels.fill(picture, 52, left + 6, 6, 36, pixels.CYAN)
        elapsed = min(int(state["frame"][game]), self.length) / self.length
        pixels.fill(picture, 70, 0, 4, round(picture.shape[1] * elapsed), pixels.PALE)
        return picture

    def text(self, state: np.ndarray, game: int) -> str:
        """The symbols by their numbers, the shown one in brackets, and how far the episode is."""
        shown, frame = int(state["shown"][game]), int(state["frame"][game])
        row = " ".join(f"[{symbol}]" if symbol == shown else f" {symbol} " for symbol in range(self.num_symbols))
        return f"{row}\ntarget {state['target'][game]}  step {frame} of {self.length}"


class RepeatFirstEnv(GameEnv):
    """Show a symbol once, then ask for it again and again.

    ## Description
    A diagnostic task: the first observation of an episode shows the target symbol, every later one an unrelated symbol.
    The agent is paid for naming the target at every step. What it sees after the first row tells nothing, so
    a policy of the present observation alone earns at most ``(1 + (length - 1) / num_symbols) / length`` on average
    (0.34 by default; ``memoryless_return`` computes it), a perfect memory 1.

    ## Action Space
    ``Discrete(num_symbols)``: the symbol the agent names.

    ## Observation Space
    ``Box(0, 1, (num_symbols,), float32)``: a one-hot symbol. Row 0 of an episode is the target, uniform over the
    symbols; every later row is an independent uniform symbol, which may equal the target.

    ## Rewards
    ``1 / length`` when the action is the target symbol, else 0.

    ## Starting State
    A target drawn uniformly.

    ## Episode End
    The episode terminates after ``length`` steps. It is never truncated.

    ## Arguments
    - ``num_symbols`` (4): how many symbols, 2 to 64.
    - ``length`` (8): steps of an episode.
    - ``render_mode`` (None): ``"rgb_array"``, ``"ansi"``, ``"human"`` or None.

    ## Version History
    - v0: first version.
    """

    game_class = RepeatFirst

    @property
    def memoryless_return(self) -> float:
        """The largest expected return without memory, for this environment's options."""
        game: Any = self._batch.game
        return memoryless_return(game.num_symbols, game.length)


class RepeatFirstVectorEnv(GameVectorEnv):
    """A batch of ``RepeatFirstEnv`` games; the options are the same, and those of ``GameVectorEnv``."""

    game_class = RepeatFirst
