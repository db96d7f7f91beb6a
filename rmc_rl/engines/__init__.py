"""Who runs where. An engine owns actors and learner and hands the trainer one learner update at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rmc_rl.config import Config
from rmc_rl.spaces import Interface


class Engine(Protocol):
    """Actors and a learner, however they are spread over processes."""

    def update(self) -> dict[str, Any] | None:
        """One learner update; None where a stop was asked for while waiting.

        The figures are those of `Learner.update` and ``queue``, ``restarts``, ``dropped_rollouts`` (counts), and of
        the ``actors`` since the last update: ``acted_steps``, ``acting_seconds``, ``acting_idle_seconds``. ``steps``
        and ``updates`` go back where a learner that died went on from a checkpoint.
        """

    def get_state(self) -> dict[str, Any] | None:
        """What a checkpoint holds: a tree of arrays with the learner's state and, where there is one, the actor's.

        None where it cannot be had just now.
        """

    def close(self) -> None:
        """Stop every process and free everything; safe to call twice."""


def make_engine(
    config: Config,
    interface: Interface,
    state: dict[str, Any] | None,
    *,
    last_state: Callable[[], dict[str, Any] | None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
    traces: Path | None = None,
) -> Engine:
    """The engine this configuration names.

    Args:
        config: of the run.
        interface: the spaces the agent is made for.
        state: of a checkpoint to go on from; None: from the start.
        last_state: the state of the run's last checkpoint, for a learner that died; None where there is none.
        should_stop: whether a stop was asked for.
        say: tells the person what happened.
        traces: folder for traces of acting and learning; None: there are none.
    """
    if config.engine.name == "inline":
        from rmc_rl.engines.inline import InlineEngine

        return InlineEngine(config, interface, state, say, traces)
    from rmc_rl.engines.ray import RayEngine

    return RayEngine(config, interface, state, last_state, should_stop, say, traces)
