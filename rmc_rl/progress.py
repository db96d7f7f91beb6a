"""How far a run has come: what a checkpoint records beside the arrays, and what a resumed run goes on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmc_rl.errors import UserError
from rmc_rl.metrics import Episodes, Interval
from rmc_rl.spaces import Interface


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        interface: the spaces the agent was made for, so that it can be loaded without its environment.
        steps: valid environment steps learnt from.
        updates: learner updates.
        seconds: training time, resumed parts included.
        best_return: best mean return of a full window of episodes at a checkpoint; None before the first.
        env_failures: times an environment raised.
        episodes: the last episodes' returns and lengths.
        interval: what has been gathered for the next line of metrics.
    """

    interface: Interface
    steps: int = 0
    updates: int = 0
    seconds: float = 0.0
    best_return: float | None = None
    env_failures: int = 0
    episodes: Episodes = field(default_factory=Episodes)
    interval: Interval = field(default_factory=Interval)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold; ``return_mean`` is for people who read it."""
        mean = self.episodes.return_mean
        return {
            "interface": self.interface.to_json(),
            "steps": self.steps,
            "updates": self.updates,
            "seconds": self.seconds,
            "best_return": self.best_return,
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
            returns, lengths = list(map(_number, history["returns"])), list(map(_whole, history["lengths"]))
            episodes.set_state({"count": _whole(history["count"]), "returns": returns, "lengths": lengths})
            interval = Interval()
            gathered = record["interval"]
            interval.set_state(
                {name: _whole(gathered[name]) for name in ("start_steps", "updates")}
                | {name: _number(gathered[name]) for name in ("lag_max", "seconds")}
                | {"sums": {str(name): _number(value) for name, value in gathered["sums"].items()}}
            )
            best = record["best_return"]
            return cls(
                interface=Interface.from_json(record["interface"]),
                steps=_whole(record["steps"]),
                updates=_whole(record["updates"]),
                seconds=_number(record["seconds"]),
                best_return=None if best is None else _number(best),
                env_failures=_whole(record["env_failures"]),
                episodes=episodes,
                interval=interval,
            )
        except (AttributeError, AssertionError, KeyError, TypeError, ValueError, OverflowError, UserError) as error:
            raise UserError(f"{where} does not hold the record of a run of rmc-rl ({error!r})") from error


def _whole(value: Any, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
