"""The analysis of language models: perplexity of validation and test text, by context and by how common a word is.

As word-level practice counts it: every word of the text is predicted once, line ends among them, unknown words count as
``<unk>``, and the memory is carried through the text, in as many pieces as the run's evaluation has. The paper's Figure
12 asks what carrying it is worth: there the memory begins anew after so many words. Here that is asked of several
numbers of words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rmc_rl.analysis import pictures
from rmc_rl.analysis.analysis import Analysis, Example, Follow, Table, counting, register_analysis
from rmc_rl.shares import Z
from rmc_rl.supervised.language.corpus import UNKNOWN
from rmc_rl.supervised.language.model import LanguageModel
from rmc_rl.supervised.progress import perplexity_of
from rmc_rl.supervised.tasks.language_modelling import LanguageModelling
from rmc_rl.supervised.tasks.task import Batch
from rmc_rl.supervised.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTEXTS = (10, 20, 50, 100, 200, 500)
"""Words after which the memory begins anew; beside them stand the pieces of an evaluation."""

RANKS = (10, 100, 1000, 10_000, 100_000)
"""Bounds of the groups of words, by rank in the training text."""

ROWS_AT_ONCE = 4096
"""Words whose probabilities are held in memory together."""

EXAMPLES, EXAMPLE_WORDS = 4, 12
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Reading:
    """What a model makes of a text, word by word.

    Attributes:
        targets: ``[N]``, in the order of the text.
        losses: ``[N]``, in nats.
        words: ``[N]``, the likeliest ones.
    """

    targets: Tensor
    losses: Tensor
    words: Tensor

    def row(self, chosen: Tensor | None = None) -> dict[str, float]:
        """Words, perplexity with its 95 % interval, and the share of right ones; of those chosen, bool ``[N]``."""
        losses = (self.losses if chosen is None else self.losses[chosen]).double()
        right = self.words == self.targets
        count = len(losses)
        mean = float(losses.mean()) if count else math.nan
        spread = Z * float(losses.std()) / math.sqrt(count) if count > 1 else math.nan
        return {
            "words": count,
            "loss": mean,
            "perplexity": perplexity_of(mean),
            "low": perplexity_of(max(mean - spread, 0.0)) if count > 1 else math.nan,
            "high": perplexity_of(mean + spread),
            "accuracy": float((right if chosen is None else right[chosen]).double().mean()) if count else math.nan,
        }


@register_analysis(LanguageModelling)
def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis:
    """Of the whole validation and test texts, read by as many streams as the run's evaluation; nothing is drawn."""
    pictures.require()
    task, model = trained.task, trained.model
    assert isinstance(task, LanguageModelling)
    assert isinstance(model, LanguageModel)
    texts = {part: len(task.corpus.texts[part]) for part in ("valid", "test")}
    pieces = {part: task.piece(trained.config.evaluation.sequences, part) for part in texts}
    contexts = [words for words in CONTEXTS if words < pieces["test"]]
    count = counting(follow, sum(texts.values()) + len(contexts) * texts["test"])
    whole = {part: read(task, model, part, pieces[part], count) for part in texts}
    cut = {words: read(task, model, "test", words, count) for words in contexts} | {pieces["test"]: whole["test"]}
    by_context = {f"{words:,}": reading.row() for words, reading in cut.items()}
    by_rank = {name: whole["test"].row(chosen) for name, chosen in _groups(task, whole["test"].targets)}
    unknown = task.corpus.vocabulary.index(UNKNOWN)
    shares = {part: float((reading.targets == unknown).double().mean()) for part, reading in whole.items()}
    title = f"{_name(task)} · {trained.config.core['name']}"
    return Analysis(
        numbers={
            "vocabulary": task.num_classes,
            "pieces": pieces,
            "unknown": shares,
            "texts": {part: reading.row() for part, reading in whole.items()},
            "context": by_context,
            "rank": by_rank,
        },
        tables=[
            _table("Perplexity", "text", {part: reading.row() for part, reading in whole.items()}, _note(shares)),
            _table("By how many words the memory is carried (test)", "words", by_context),
            _table("By how common the word is (test)", "rank in training", by_rank),
        ],
        pictures={"perplexity.png": _picture(title, by_context, by_rank)},
        examples=_examples(task, whole["test"]),
    )


@torch.no_grad()
def read(
    task: LanguageModelling, model: LanguageModel, part: str, words: int, follow: Callable[[int], None]
) -> Reading:
    """Read a text in pieces of so many words, the memory carried through each of them, and judge every word of it."""
    found: list[tuple[Tensor, ...]] = []
    for pieces in _side_by_side(task, part, words):
        state, seen = None, []
        for batch in pieces:
            features, state = model.features(batch.inputs, batch.reset, state)
            rows = zip(
                features.flatten(0, 1).split(ROWS_AT_ONCE), batch.targets.flatten().split(ROWS_AT_ONCE), strict=True
            )
            judged = [model.softmax.judge(*row, model.embedding.weight) for row in rows]
            losses, likeliest = (torch.cat(parts).view_as(batch.targets) for parts in zip(*judged, strict=True))
            seen.append((batch.mask, batch.targets, losses, likeliest))
            follow(int(batch.mask.sum()))
        # Of each stream its whole piece, [B, T]: then what follows in the text follows here.
        mask, *others = (torch.cat(parts).t() for parts in zip(*seen, strict=True))
        found.append(tuple(other[mask] for other in others))
    return Reading(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _side_by_side(task: LanguageModelling, part: str, words: int) -> Iterator[list[Batch]]:
    """The windows of a text in pieces of so many words, a limited number of pieces at a time."""
    most = max(ROWS_AT_ONCE // task.length, 1)
    windows = list(task.pieces(words, part, _CPU))
    for first in range(0, windows[0].reset.shape[1], most):
        chosen = slice(first, first + most)
        yield [
            Batch(batch.inputs[:, chosen], batch.reset[:, chosen], batch.targets[:, chosen], batch.mask[:, chosen])
            for batch in windows
        ]


def _groups(task: LanguageModelling, targets: Tensor) -> list[tuple[str, Tensor]]:
    bounds = [0, *(rank for rank in RANKS if rank < task.num_classes), task.num_classes]
    return [(f"{first + 1:,} to {end:,}", (targets >= first) & (targets < end)) for first, end in pairwise(bounds)]


def _table(title: str, what: str, rows: dict[str, dict[str, float]], note: str = "") -> Table:
    return Table(
        title,
        (what, "perplexity", "95 %", "likeliest word is right", "words"),
        [
            (
                name,
                f"{row['perplexity']:,.2f}",
                f"{row['low']:,.2f} to {row['high']:,.2f}",
                f"{row['accuracy']:.2%}",
                f"{row['words']:,.0f}",
            )
            for name, row in rows.items()
        ],
        note,
    )


def _note(shares: dict[str, float]) -> str:
    unknown = " and ".join(f"{share:.2%} of {part}" for part, share in shares.items())
    return f"line ends count as words; {unknown} is {UNKNOWN}, which is right for any word that training did not know"


def _examples(task: LanguageModelling, reading: Reading) -> list[Example]:
    """From equally distant places of the text: what came before, the word, and the likeliest one."""
    names = task.corpus.vocabulary
    found = []
    for place in range(1, EXAMPLES + 1):
        at = place * len(reading.targets) // (EXAMPLES + 1)
        before = [names[word] for word in reading.targets[max(at - EXAMPLE_WORDS, 0) : at].tolist()]
        target, word = int(reading.targets[at]), int(reading.words[at])
        chance = math.exp(-float(reading.losses[at]))
        found.append(
            Example(
                "",
                "… " + " ".join(before),
                names[target],
                names[word],
                target == word,
                more=f"{chance:.1%} for the right one",
            )
        )
    return found


def _name(task: LanguageModelling) -> str:
    return f"Language model, {task.num_classes:,} words"


def _picture(title: str, by_context: dict[str, Any], by_rank: dict[str, Any]) -> Figure:
    """Perplexity by context, and by rank on a logarithmic axis."""
    figure, (left, right) = pictures.empty(title, 2, (5.0, 3.2))
    for axes, rows, heading, along in (
        (left, by_context, "The memory begins anew after so many words", "words"),
        (right, by_rank, "Words by their rank in the training text", "rank"),
    ):
        _draw(axes, list(rows), list(rows.values()))
        pictures.dress(axes, heading, along, "Perplexity of the test text" if axes is left else "")
    right.set_yscale("log")
    right.tick_params(which="minor", length=0)
    return figure


def _draw(axes: Any, names: Sequence[str], rows: Sequence[dict[str, float]]) -> None:
    where = range(len(names))
    values = [row["perplexity"] for row in rows]
    errors = [
        [value - row["low"] for value, row in zip(values, rows, strict=True)],
        [row["high"] - value for value, row in zip(values, rows, strict=True)],
    ]
    axes.errorbar(where, values, errors, fmt="o", color=pictures.MODEL, markersize=5, capsize=3, linewidth=1.4)
    pictures.name_ticks(axes, [name.replace(" to ", "\n") for name in names], "x")
    axes.grid(axis="y", color=pictures.TRACK, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(pictures.QUIET)
