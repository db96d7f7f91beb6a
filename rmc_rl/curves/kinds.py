"""The kinds of runs there are, agents that play and models of supervised tasks, and what is drawn of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from rmc_rl.metrics import GLOSSARY


@dataclass(frozen=True)
class Kind:
    """What is drawn of the runs of one kind.

    Attributes:
        score: the column that says how good they are, unless the person names another.
        steps: what is counted by their column of that name.
        glossary: what their columns hold.
        learning: columns that a page draws beside the score.
        speeds: columns of a page's table of throughput, numbers a second.
        shares: the same, shares of time.
        plays: whether there is an episode to be seen.
    """

    score: str
    steps: str
    glossary: Mapping[str, str]
    learning: tuple[str, ...]
    speeds: tuple[str, ...]
    shares: tuple[str, ...]
    plays: bool

    @property
    def unit(self) -> str:
        """The steps in a word."""
        return self.steps.rpartition(" ")[2]

    def meaning(self, metric: str) -> str:
        """What a column holds; its name where the glossary does not know it."""
        return self.glossary.get(metric, metric)

    def describe(self, metric: str) -> str:
        """The same in a few words."""
        return self.meaning(metric).partition(":")[0].partition(";")[0] if metric in self.glossary else metric


AGENT = Kind(
    score="return_mean",
    steps="environment steps",
    glossary=GLOSSARY,
    learning=("length_mean", "entropy", "value_loss", "explained_variance", "grad_norm", "policy_lag"),
    speeds=("env_speed", "acting_speed", "learning_speed"),
    shares=("actor_busy", "learner_busy"),
    plays=True,
)


def kind_of(keys: Iterable[str]) -> Kind:
    """The kind of the run whose configuration has these keys, written flat."""
    return _model() if any(key.startswith("task.") for key in keys) else AGENT


@cache
def _model() -> Kind:
    from rmc_rl.supervised.progress import GLOSSARY  # with it comes torch, which drawing agents can do without

    return Kind(
        score="test_accuracy",
        steps="updates",
        glossary=GLOSSARY,
        learning=("test_solved", "test_loss", "accuracy", "solved", "loss", "grad_norm"),
        speeds=("sequences_per_second",),
        shares=("data_share",),
        plays=False,
    )
