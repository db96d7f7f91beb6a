"""The two faces of a batch of games: ``gymnasium.Env`` for one, ``gymnasium.vector.VectorEnv`` for many.

Both call the same kernels, so game ``i`` of a vector environment reset with seed ``s`` is, observation for observation,
the scalar environment reset with seed ``s + i``; where the vector environment resets a game by itself, the scalar one
is to be reset without a seed. A game names its class in ``game_class`` and inherits the rest.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rmc_envs.batch import Batch, Game, check_count, check_flag
from rmc_envs.pixels import tile
from rmc_envs.random_stream import LARGEST_SEED

RENDER_FPS = 10


def _entropy(generator: np.random.Generator) -> int:
    return int(generator.integers(LARGEST_SEED, dtype=np.uint64, endpoint=True))


class _Face:
    """What both faces do alike."""

    render_mode: str | None
    _batch: Batch

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action is called, for people."""
        return self._batch.game.action_names

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of everything that decides how the games go on; each array's first axis counts the games.

        The scalar environment is a batch of one.
        """
        return self._batch.get_state()

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what ``get_state`` returned; ValueError for what it cannot have returned."""
        self._batch.set_state(state)

    def _require_start(self) -> None:
        if not self._batch.all_started:
            raise ResetNeeded("call reset() first")

    def _frames(self) -> list[Any]:
        """What render() shows of each game: a frame, a text in mode "ansi"; nothing, with a warning, without a mode."""
        self._require_start()
        if self.render_mode is None:
            gymnasium.logger.warn(
                'render() was called without a render mode: make the environment with render_mode="rgb_array"'
            )
            return []
        batch = self._batch
        draw = batch.game.text if self.render_mode == "ansi" else batch.game.frame
        return [draw(batch.state, index) for index in range(batch.num_games)]


class GameEnv(_Face, gymnasium.Env[np.ndarray, np.int64]):
    """One game.

    Arguments:
        render_mode: ``"rgb_array"`` (needs neither display nor pygame), ``"ansi"`` (plain characters), ``"human"`` (a
            pygame window) or None.
        **options: the game's own, see its class.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": RENDER_FPS,
    }
    game_class: ClassVar[type[Game]]

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        _check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self._batch = Batch(self.game_class(**options), 1)
        self.observation_space = self._batch.game.observation_space
        self.action_space = self._batch.game.action_space
        self._everything = np.ones(1, np.bool_)
        self._window: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all but the window; a copy opens its own."""
        return self.__dict__ | {"_window": None}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode. Without a seed the game's random stream goes on; there are no options."""
        _refuse_options(_checked_options(options))
        if seed is not None:
            seed = check_count("seed", seed, least=0, most=LARGEST_SEED)
        super().reset(seed=seed)
        self._batch.reset([seed], self._everything, lambda: _entropy(self.np_random))
        self._show()
        return self._batch.outputs.observation[0].copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one action.

        Raises:
            ResetNeeded: before the first reset, and after an episode's end.
            TypeError, ValueError: for what is no action.
        """
        batch = self._batch
        self._require_start()
        if batch.outputs.needs_reset[0]:
            raise ResetNeeded("the episode has ended: call reset() before the next step()")
        try:
            number = operator.index(action)
        except TypeError:
            raise TypeError(f"action must be an integer, got {action!r}") from None
        outputs = batch.step_one(number)
        self._show()
        return (
            outputs.observation[0].copy(),
            outputs.reward.item(),
            outputs.terminated.item(),
            outputs.truncated.item(),
            {},
        )

    def render(self) -> np.ndarray | str | None:  # type: ignore[override]
        """The frame, uint8 [height, width, 3], in mode ``"rgb_array"``; a text in ``"ansi"``; None in the others."""
        frames = self._frames()
        return frames[0] if self.render_mode in ("rgb_array", "ansi") else None

    def _show(self) -> None:
        """Bring the window of mode ``"human"`` up to date."""
        if self.render_mode != "human":
            return
        if self._window is None:
            from rmc_envs.window import Window  # pygame is needed here only

            self._window = Window(type(self).__name__, self.metadata["render_fps"])
        self._window.show(self._frames()[0])

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None


class GameVectorEnv(_Face, VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch of games, stepped by one call of compiled code.

    What happens to a game whose episode has ended, by ``autoreset_mode``:

    - next step (default): the step that ends an episode returns its final observation as an ordinary row; the next step
      ignores that game's action, pays 0 and returns the first observation of the next episode.
    - same step: the step that ends an episode returns the first observation of the next one; the final observation is
      in ``info["final_obs"]`` (an array of objects, None where no episode ended; ``info["_final_obs"]`` says where),
      with ``info["final_info"]`` beside it.
    - disabled: such games must be reset with ``reset(options={"reset_mask": …})`` before the next step.

    Arguments:
        num_envs: how many games.
        render_mode: ``"rgb_array"``, ``"ansi"`` or None.
        copy: whether what ``reset`` and ``step`` return is the caller's own (default); otherwise they return the
            internal buffers, which the next call overwrites.
        autoreset_mode: a ``gymnasium.vector.AutoresetMode`` or its value: "NextStep", "SameStep", "Disabled".
        num_threads: threads that share each step, for thousands of games on many cores. The result is the same for any
            number.
        **options: the game's own, see its class.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": RENDER_FPS,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    game_class: ClassVar[type[Game]]

    def __init__(
        self,
        *,
        num_envs: int = 1,
        render_mode: str | None = None,
        copy: bool = True,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int = 1,
        **options: Any,
    ) -> None:
        _check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.copy = check_flag("copy", copy)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = ", ".join(mode.value for mode in AutoresetMode)
            raise ValueError(f"autoreset_mode must be one of {modes}, got {autoreset_mode!r}") from None
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode}
        self._batch = Batch(self.game_class(**options), num_envs, num_threads)
        self.num_envs = num_envs = self._batch.num_games
        self.single_observation_space = self._batch.game.observation_space
        self.single_action_space = self._batch.game.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every game.

        Arguments:
            seed: an integer ``s`` seeds game ``i`` with ``s + i``; a sequence seeds each game with its own. Without a
                seed (or with None in the sequence) a game's random stream goes on.
            options: ``{"reset_mask": bool [num_envs]}`` resets those games only.
        """
        mask = self._reset_mask(options)
        if seed is None:
            seeds: Sequence[int | None] = [None] * self.num_envs
        elif isinstance(seed, Sequence) or (isinstance(seed, np.ndarray) and seed.ndim > 0):
            seeds = list(seed)
        else:
            first = check_count("seed", seed, least=0, most=LARGEST_SEED + 1 - self.num_envs)
            super().reset(seed=first)
            seeds = range(first, first + self.num_envs)
        self._batch.reset(seeds, mask, lambda: _entropy(self.np_random))
        observation = self._batch.outputs.observation
        return (observation.copy() if self.copy else observation), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one action of every game (integers [num_envs]).

        Raises:
            ResetNeeded: before the first reset, and, where autoreset is disabled, after the end of an episode.
            TypeError, ValueError: for what are no actions.
        """
        self._require_start()
        batch = self._batch
        if self.autoreset_mode is AutoresetMode.DISABLED and batch.outputs.needs_reset.any():
            ended = np.flatnonzero(batch.outputs.needs_reset)
            raise ResetNeeded(
                f"the episodes of games {', '.join(map(str, ended[:10]))}{' …' * (ended.size > 10)} have ended: call "
                'reset(options={"reset_mask": terminated | truncated}) before the next step()'
            )
        outputs = batch.step(actions)
        info: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and outputs.needs_reset.any():
            ended = outputs.needs_reset.copy()
            final = np.full(self.num_envs, None, dtype=object)
            for index in np.flatnonzero(ended):
                final[index] = outputs.observation[index].copy()
            batch.begin(ended)
            info = {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}
        if self.copy:
            return (
                outputs.observation.copy(),
                outputs.reward.copy(),
                outputs.terminated.copy(),
                outputs.truncated.copy(),
                info,
            )
        return outputs.observation, outputs.reward, outputs.terminated, outputs.truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """A tuple of each game's frame, uint8 [height, width, 3], or text in mode ``"ansi"``; None without a mode."""
        return tuple(self._frames()) or None

    def render_tiled(self) -> np.ndarray | None:
        """One picture of all games, uint8 [height, width, 3], in rows from the top left; None without a render mode.

        The number of columns is the one that comes closest to a square picture.
        """
        self._require_start()
        if self.render_mode == "ansi":
            raise ValueError('render_tiled() makes a picture: render_mode must be "rgb_array", got "ansi"')
        frames = self._frames()
        return tile(frames) if frames else None

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads, if there are any."""
        if hasattr(self, "_batch"):  # Gymnasium closes what could not be made, too
            self._batch.close()

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        remaining = _checked_options(options)
        mask = remaining.pop("reset_mask", None)
        _refuse_options(remaining)
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be bool of shape ({self.num_envs},) with one game set at least, "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        return mask


def _check_render_mode(render_mode: str | None, metadata: dict[str, Any]) -> None:
    if render_mode is not None and not (isinstance(render_mode, str) and render_mode in metadata["render_modes"]):
        raise ValueError(f"render_mode must be None or one of {metadata['render_modes']}, got {render_mode!r}")


def _checked_options(options: Any) -> dict[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options must be a dictionary or None, got {options!r}")
    return dict(options or {})


def _refuse_options(options: dict[str, Any]) -> None:
    if options:
        raise ValueError(f"options must be empty here, got {list(options)}")
