"""Trajectories: a game played from a seed, all that was done in it, and a file from which it can be played again.

A file is JSON: the environment's id, its options and seed, the version of this package, for each episode its actions,
rewards and end, a checksum of every observation in order, and a checksum of the file itself. A replay plays the same
actions and compares what comes of them. A file is data from strangers: nothing in it is imported, and all is checked.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import Error

from rmc_envs import ENVIRONMENTS, __version__
from rmc_envs.catalogue import check_option_names, environment_class

FORMAT = "rmc-envs recording 1"
ENDS = ("terminated", "truncated", "left")
"""How an episode can end; "left" is one that was given up."""


class RecordingError(ValueError):
    """A file that is no recording, or one that cannot be played."""


@dataclass
class Episode:
    """What was done in an episode, and what came of it."""

    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    end: str = "left"

    @property
    def score(self) -> float:
        """The sum of the rewards."""
        return math.fsum(self.rewards)


@dataclass(frozen=True)
class Recording:
    """What a file holds."""

    id: str
    options: Mapping[str, Any]
    seed: int
    """of the first episode; in the others the game's random stream goes on"""
    version: str
    """of this package"""
    episodes: list[Episode]
    observations: str
    """SHA-256 of every observation in order"""


class Playthrough:
    """A game played from a seed, and all that was done in it.

    Arguments:
        env_id: one of this package's ids.
        options: the game's own.
        seed: of the first episode.

    Raises:
        TypeError, ValueError: no such options, or no such seed.
    """

    def __init__(self, env_id: str, options: Mapping[str, Any], seed: int) -> None:
        check_option_names(env_id, options)
        self.env_id = env_id
        self.options = dict(options)
        self.seed = seed
        self.env = environment_class(env_id)(render_mode="rgb_array", **self.options)
        self.episodes: list[Episode] = []
        self._digest = hashlib.sha256()
        self._begin(seed)

    @property
    def episode(self) -> Episode:
        """The present episode."""
        return self.episodes[-1]

    @property
    def over(self) -> bool:
        """Whether the present episode has ended."""
        return self.episode.end != "left"

    def step(self, action: int) -> None:
        """Play one action; the episode must not be over."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.episode.actions.append(action)
        self.episode.rewards.append(float(reward))
        if terminated or truncated:
            self.episode.end = "terminated" if terminated else "truncated"
        self._see(observation)

    def restart(self) -> None:
        """Begin the next episode."""
        self._begin(None)

    def frame(self) -> np.ndarray:
        """The picture for people, uint8 [height, width, 3]."""
        return self.env.render()

    def recording(self) -> Recording:
        """What was done so far."""
        return Recording(self.env_id, self.options, self.seed, __version__, self.episodes, self._digest.hexdigest())

    def _begin(self, seed: int | None) -> None:
        observation, _ = self.env.reset(seed=seed)
        self.episodes.append(Episode())
        self._see(observation)

    def _see(self, observation: np.ndarray) -> None:
        self._digest.update(f"{observation.dtype} {observation.shape}".encode())
        self._digest.update(observation.tobytes())


class Replay:
    """Plays a recording again and compares.

    Arguments:
        recording: as ``load`` returns it.

    Raises:
        RecordingError: its options or seed are none of the game's.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        try:
            self.playthrough = Playthrough(recording.id, recording.options, recording.seed)
        except (TypeError, ValueError, Error) as error:
            raise RecordingError(f"the recorded game cannot be played: {error}") from error
        self.difference: str | None = None
        """The first thing that came out otherwise than recorded; None while nothing has."""
        self.done = False
        self._finish()

    def advance(self) -> None:
        """Play the next recorded action, or begin the next recorded episode; nothing once it is done."""
        if self.done:
            return
        played, recorded = self._episodes()
        step = len(played.actions)
        if step == len(recorded.actions):
            self.playthrough.restart()
        else:
            self._play(recorded, step)
        self._finish()

    def _play(self, recorded: Episode, step: int) -> None:
        played = self.playthrough.episode
        try:
            self.playthrough.step(recorded.actions[step])
        except (ValueError, Error) as error:
            self._differs(str(error))
            return
        end = recorded.end if step + 1 == len(recorded.actions) else "left"
        if played.rewards[step] != recorded.rewards[step]:
            self._differs(f"the reward was {recorded.rewards[step]:g}, now it is {played.rewards[step]:g}")
        elif played.end != end:
            was, now = (name if name != "left" else "going on" for name in (end, played.end))
            self._differs(f"the episode was {was}, now it is {now}")

    def _finish(self) -> None:
        played, recorded = self._episodes()
        if self.difference is not None:
            self.done = True
        elif len(self.playthrough.episodes) == len(self.recording.episodes) and played.end == recorded.end:
            self.done = len(played.actions) == len(recorded.actions)
            if self.done and self.playthrough.recording().observations != self.recording.observations:
                self.difference = "rewards and ends are as recorded, but what was seen on the way is not"

    def _episodes(self) -> tuple[Episode, Episode]:
        """The present episode, as it is played and as it was recorded."""
        return self.playthrough.episode, self.recording.episodes[len(self.playthrough.episodes) - 1]

    def _differs(self, what: str) -> None:
        number, step = len(self.playthrough.episodes), len(self.playthrough.episode.actions)
        self.difference = f"episode {number}, step {step}: {what}"


def check_target(path: Path) -> None:
    """Refuse early what cannot be written; a folder that does not exist is made.

    Raises:
        RecordingError: it is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise RecordingError(f"{path} is a folder: name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RecordingError(f"{path.parent} cannot be written ({error.strerror or error})") from error


def save(path: Path, recording: Recording) -> None:
    """Write a recording, all or nothing: what was there before stays until the new file is whole.

    Raises:
        RecordingError: it cannot be written.
    """
    record = {"format": FORMAT} | asdict(recording)
    record["sha256"] = _record_digest(record)
    unfinished: Path | None = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".writing-", delete=False) as file:
            unfinished = Path(file.name)
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)  # temporary files are made for their owner alone
        unfinished.replace(path)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def load(path: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: there is none, or it is damaged, altered, or of another format.
    """
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise RecordingError(f"{path} is not a recording, or is damaged: it must be JSON with format {FORMAT!r}")
    if record.pop("sha256", None) != _record_digest(record):
        raise RecordingError(f"{path} is damaged or was altered: its checksum does not match")
    # The checksum finds accidents. What follows holds against a forger, who can compute checksums as well.
    del record["format"]
    try:
        return _checked(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordingError(f"{path} was altered: {error}") from error


def _checked(record: Mapping[str, Any]) -> Recording:
    names = {item.name for item in fields(Recording)}
    if set(record) != names:
        raise ValueError(f"it must hold {', '.join(sorted(names))}, got {', '.join(sorted(record))}")
    _require("id", record["id"] in list(ENVIRONMENTS))
    _require("options", isinstance(record["options"], dict))
    _require("seed", _is_integer(record["seed"]))
    _require("version", isinstance(record["version"], str))
    _require("observations", isinstance(record["observations"], str))
    _require("episodes", isinstance(record["episodes"], list) and len(record["episodes"]) > 0)
    episodes = [Episode(**episode) for episode in record["episodes"]]
    for episode in episodes:
        _require("actions", isinstance(episode.actions, list) and all(map(_is_integer, episode.actions)))
        _require("rewards", isinstance(episode.rewards, list) and all(map(_is_finite, episode.rewards)))
        _require("rewards", len(episode.rewards) == len(episode.actions))
        _require("end", episode.end in ENDS and (episode.end == "left" or len(episode.actions) > 0))
    return Recording(**{**record, "episodes": episodes})


def _require(name: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name} holds what no recording holds")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _record_digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
