"""How far a run has come: what a checkpoint records beside the arrays, and what a resumed run goes on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from rmc_rl.errors import UserError
from rmc_rl.metrics import Episodes, Interval, memory_mb
from rmc_rl.spaces import Interface

_COUNTS = ("queue", "restarts", "dropped_rollouts")


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        interface: the spaces the agent was made for, so that it can be loaded without its environment.
        steps: valid environment steps learnt from.
        updates: learner updates.
        seconds: training time, resumed parts included.
        best: best mean return of a full window of episodes at a checkpoint; None before the first.
        env_failures: times an environment raised.
        episodes: the last episodes' returns and lengths.
        interval: what has been gathered for the next line of metrics.
        counts: what the engine counts, as of its last update; not kept.
    """

    interface: Interface
    steps: int = 0
    updates: int = 0
    seconds: float = 0.0
    best: float | None = None
    env_failures: int = 0
    episodes: Episodes = field(default_factory=Episodes)
    interval: Interval = field(default_factory=Interval)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))

    @property
    def line_start(self) -> int:
        """Steps at the last line of metrics."""
        return self.interval.start_steps

    @property
    def line_is_empty(self) -> bool:
        """Whether there was no update since."""
        return self.interval.updates == 0

    @property
    def score(self) -> float | None:
        """The mean return, where there have been enough episodes."""
        return self.episodes.return_mean if self.episodes.full else None

    def take(self, figures: Mapping[str, Any]) -> bool:
        """Count an update; whether updates before it were lost: a learner that died went on from a checkpoint."""
        lost = figures["updates"] <= self.updates
        if lost:
            self.interval = Interval(figures["steps"])
        self.env_failures += figures["env_failures"]
        self.steps, self.updates = figures["steps"], figures["updates"]
        self.counts = {name: figures[name] for name in _COUNTS}
        self.episodes.add(figures["episode_return"], figures["episode_length"])
        self.interval.add(figures)
        return lost

    def line(self) -> dict[str, float]:
        """The figures since the last line; the next one begins."""
        interval, self.interval = self.interval, Interval(self.steps)
        return {
            "steps": self.steps,
            "updates": self.updates,
            "episodes": self.episodes.count,
            "return_mean": self.episodes.return_mean,
            "length_mean": self.episodes.length_mean,
            **interval.figures(self.steps),
            **self.counts,
            "env_failures": self.env_failures,
            "memory_mb": memory_mb(),
            "seconds": self.seconds,
        }

    def as_of(self, state: Mapping[str, Any], best: float | None) -> Self:
        """The progress of a state: a distributed learner may have finished another update since its last figures."""
        learner = state["learner"]
        return replace(self, best=best, steps=int(learner["steps"]), updates=int(learner["updates"]))

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold; ``return_mean`` is for people who read it."""
        mean = self.episodes.return_mean
        return {
            "interface": self.interface.to_json(),
            "steps": self.steps,
            "updates": self.updates,
            "seconds": self.seconds,
            "best_return": self.best,
            "return_mean": mean if math.isfinite(mean) else None,
            "env_failures": self.env_failures,
            "episodes": self.episodes.get_state(),
            "interval": self.interval.get_state(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: object) -> Progress:
        """Read what `to_json` wrote; a checkpoint may come from a stranger.

        Raises:
            UserError: something is missing or of another type; the message names `where`.
        """
        try:
            episodes = Episodes()
            history = record["episodes"]
            returns, lengths = list(map(number, history["returns"])), list(map(whole, history["lengths"]))
            episodes.set_state({"count": whole(history["count"]), "returns": returns, "lengths": lengths})
            interval = Interval()
            gathered = record["interval"]
            interval.set_state(
                {name: whole(gathered[name]) for name in ("start_steps", "updates")}
                | {name: number(gathered[name]) for name in ("lag_max", "seconds")}
                | {"sums": {str(name): number(value) for name, value in gathered["sums"].items()}}
            )
            best = record["best_return"]
            return cls(
                interface=Interface.from_json(record["interface"]),
                steps=whole(record["steps"]),
                updates=whole(record["updates"]),
                seconds=number(record["seconds"]),
                best=None if best is None else number(best),
                env_failures=whole(record["env_failures"]),
                episodes=episodes,
                interval=interval,
            )
        except (AttributeError, AssertionError, KeyError, TypeError, ValueError, OverflowError, UserError) as error:
            raise UserError(f"{where} does not hold the record of a run of rmc-rl ({error!r})") from error


def whole(value: Any, least: int = 0) -> int:
    """A whole number out of a record from elsewhere; raises `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def number(value: Any) -> float:
    """A finite number out of a record from elsewhere; raises `ValueError`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
