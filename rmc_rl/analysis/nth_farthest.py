"""The analysis of Nth Farthest: which questions are answered rightly, what wrong answers name, what was attended to.

Questions about all N vectors differ in how many come before vector m, which a memory must have kept until it learns
what to compare them with, and how many come after it, which it can compare as they come. Fewer vectors are asked about
too; unless training did so (`min_vectors`), that shows how a model takes a new kind of question, which the report says.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rmc_rl.analysis import attention, pictures
from rmc_rl.analysis.analysis import Analysis, Examples, Follow, Table, counting, register_analysis
from rmc_rl.shares import Share, by_group, percent
from rmc_rl.supervised.tasks import Batch
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest, trivial_accuracies
from rmc_rl.supervised.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRACED = 2048
"""Sequences at most whose attention is measured."""

GAPS = 5
"""Groups by how near the asked distance is to another."""

TRIVIAL = {
    "chance": "a guess among all labels",
    "reference": "m itself where it is asked for, else a guess",
    "norm": "m the same, the others ranked by their own lengths",
}


@dataclass(frozen=True)
class Answered:
    """B questions and their answers; ranks, places and n are counted from 0.

    Attributes:
        n: asked for, ``[B]``.
        place: when vector m was shown, ``[B]``.
        target_place: when the right vector was shown, ``[B]``.
        rank: by distance from m, of the vector that the model named, ``[B]``; K where that is none of the K shown.
        norm_rank: the same of the one that ranking by lengths names, ``[B]``.
        gap: from the right vector's distance to the nearest other vector's, ``[B]``.
    """

    n: Tensor
    place: Tensor
    target_place: Tensor
    rank: Tensor
    norm_rank: Tensor
    gap: Tensor

    @property
    def right(self) -> Tensor:
        """Bool ``[B]``."""
        return self.rank == self.n

    @staticmethod
    def of(batch: Batch, answers: Tensor) -> Answered:
        """What the answers ``[1, B]`` to a batch are."""
        labels, n, m, order = (batch.details[name] for name in ("labels", "n", "m", "order"))
        ranks = order.argsort(dim=1)  # of the vectors in the order shown
        is_m = labels == m.unsqueeze(1)
        lengths = batch.details["vectors"].square().sum(dim=2).masked_fill(is_m, -1.0)
        by_length = lengths.argsort(dim=1, descending=True)
        apart = attention.distances(batch).gather(1, order)  # the farthest first
        steps = apart[:, :-1] - apart[:, 1:]
        ends = torch.full_like(steps[:, :1], torch.inf)
        gaps = torch.minimum(torch.cat([ends, steps], dim=1), torch.cat([steps, ends], dim=1))
        asked_for = n.unsqueeze(1)
        named = labels == answers.t()
        ranked = ranks.gather(1, named.int().argmax(dim=1, keepdim=True))[:, 0]
        return Answered(
            n=n,
            place=is_m.int().argmax(dim=1),
            target_place=order.gather(1, asked_for)[:, 0],
            rank=torch.where(named.any(dim=1), ranked, labels.shape[1]),
            norm_rank=ranks.gather(1, by_length.gather(1, asked_for))[:, 0],
            gap=gaps.gather(1, asked_for)[:, 0],
        )


@register_analysis(NthFarthest)
def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis:
    """Of ``sequences`` questions about each number of vectors up to N."""
    pictures.require()
    task = trained.task
    assert isinstance(task, NthFarthest)
    numbers_shown = range(2, task.num_vectors + 1)
    by_number: dict[int, Answered] = {}
    examples = Examples()
    count = counting(follow, len(numbers_shown) * sequences)
    for shown in numbers_shown:
        posing = about(task, shown)
        parts: list[Answered] = []
        for batch, logits in trained.asked(posing, sequences, torch.Generator().manual_seed(seed)):
            answers = logits.argmax(dim=-1)
            parts.append(Answered.of(batch, answers))
            count(logits.shape[1])
            if shown == task.num_vectors:
                examples.add(task, batch, answers, more=functools.partial(_by_distance, batch))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        by_number[shown] = Answered(*(torch.cat(column) for column in columns))
    title = f"Nth Farthest, {task.num_vectors} vectors of {task.dimensions} numbers · {trained.config.core['name']}"
    numbers, tables = _tables(task, by_number)
    drawn = {"accuracy.png": _accuracy(title, task, numbers), "errors.png": _errors(title, task, numbers)}
    analysis = Analysis(_as_json(numbers), tables, drawn, examples.found)
    _attention(analysis, trained, task, min(sequences, TRACED), seed, title)
    return analysis


def about(task: NthFarthest, shown: int) -> NthFarthest:
    """A copy of the task whose questions are about so many vectors; the task itself is left as it is."""
    copied = copy.copy(task)
    copied.most = shown
    return copied


def baselines(task: NthFarthest, samples: int, seed: int) -> Analysis:
    """What can be had without relating one vector to another; no model is needed for that."""
    found = trivial_accuracies(task, torch.Generator().manual_seed(seed), samples)
    rows = [(name, meaning, percent(found[name])) for name, meaning in TRIVIAL.items()]
    title = f"Without relating vectors to one another, {task.num_vectors} vectors of {task.dimensions} numbers"
    note = f"norm was measured on {samples:,} questions; only clearly above all of them a model relates vectors"
    return Analysis({"baselines": found}, [Table(title, ("baseline", "how", "right answers"), rows, note, left=2)])


def _trivial(count: int, right: Tensor, n: Tensor, groups: Tensor, number: int) -> list[dict[str, float]]:
    """The trivial accuracies in each group of questions, ``right`` being those of ranking by lengths."""
    reference = torch.where(n == count - 1, 1.0, 1 / (count - 1)).double()
    sizes = torch.bincount(groups, minlength=number).double()  # of none NaN follows
    means = [torch.bincount(groups, weights, minlength=number) / sizes for weights in (reference, right.double())]
    return [
        {"chance": 1 / count, "reference": one, "norm": other}
        for one, other in zip(*(mean.tolist() for mean in means), strict=True)
    ]


Groups = list[tuple[str, Share, dict[str, float]]]


def _overall(shown: int, found: Answered) -> tuple[Share, dict[str, float]]:
    """The share of right answers to questions about so many vectors, and the trivial accuracies."""
    everything = torch.zeros_like(found.n)
    (share,) = by_group(found.right, everything, 1)
    (trivial,) = _trivial(shown, found.norm_rank == found.n, found.n, everything, 1)
    return share, trivial


def _training_showed(task: NthFarthest) -> str:
    every = f"{task.num_vectors} vectors"
    return f"always {every}" if task.fewest == task.num_vectors else f"{task.fewest} to {every}"


def _tables(task: NthFarthest, answered: dict[int, Answered]) -> tuple[dict[str, Any], list[Table]]:
    """Shares and trivial accuracies by name, and the tables of them, from the answers by number of vectors."""
    found = answered[task.num_vectors]
    count, right = task.num_vectors, found.right
    norm_right = found.norm_rank == found.n

    def grouped(groups: Tensor, names: list[str], chosen: Tensor | None = None) -> Groups:
        kept = torch.ones_like(right) if chosen is None else chosen
        shares = by_group(right[kept], groups, len(names))
        return list(
            zip(names, shares, _trivial(count, norm_right[kept], found.n[kept], groups, len(names)), strict=True)
        )

    compared = found.n < count - 1
    gap = found.gap[compared]
    edges = torch.quantile(gap if len(gap) else torch.zeros(1), torch.linspace(0, 1, GAPS + 1)[1:-1])
    bounds = [f"{edge:.2f}" for edge in edges.tolist()]
    names = [
        f"below {bounds[0]}",
        *(f"{low} to {high}" for low, high in pairwise(bounds)),
        f"above {bounds[-1]}",
    ]
    numbers: dict[str, Any] = {
        "overall": [("all", *_overall(count, found))],
        "by_n": grouped(found.n, [attention.ranked(n, count) for n in range(count)]),
        "by_place": grouped(found.place, [f"{before} before, {count - 1 - before} after" for before in range(count)]),
        "by_gap": grouped(torch.bucketize(gap, edges), names, compared),
        "by_number": [(str(shown), *_overall(shown, some)) for shown, some in answered.items()],
        "by_places": [
            by_group(right[found.place == place], found.target_place[found.place == place], count)
            for place in range(count)
        ],
        "named": [
            by_group(torch.ones_like(right)[found.n == n], found.rank[found.n == n], count) for n in range(count)
        ],
    }
    titles = {
        "overall": ("Right answers", "questions", ""),
        "by_n": ("By what is asked for", "n", "nearest (itself): m itself, which needs no comparison"),
        "by_place": ("By when vector m is shown", "vectors before and after m", ""),
        "by_gap": (
            "By how near the right distance is to another vector's",
            "gap",
            "groups of the same size; without the questions that ask for m itself",
        ),
        "by_number": (
            "By the number of vectors",
            "vectors",
            f"training showed {_training_showed(task)}" + (": fewer are new to the model" if task.fewest > 2 else ""),
        ),
    }
    tables = []
    for key, (title, what, note) in titles.items():
        rows = [
            (name, *share.words, *(percent(trivial[each]) for each in TRIVIAL), f"{share.count:,}")
            for name, share, trivial in numbers[key]
        ]
        tables.append(Table(title, (what, "right", "95 %", *TRIVIAL, "asked"), rows, note))
    return numbers, tables


def _as_json(numbers: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, groups in numbers.items():
        if key == "by_places":
            plain[key] = [[share.as_json() for share in row] for row in groups]
        elif key == "named":
            plain[key] = [[share.count for share in row] for row in groups]
        else:
            plain[key] = [{"group": name, **share.as_json(), "baselines": trivial} for name, share, trivial in groups]
    return plain


def _accuracy(title: str, task: NthFarthest, numbers: dict[str, Any]) -> Figure:
    places = [str(before) for before in range(task.num_vectors)]
    ranks = [str(n + 1) for n in range(task.num_vectors)]

    def panel(key: str, heading: str, along: str, groups: list[str]) -> pictures.Points:
        trivial = {f"{name}: {how}": [row[2][name] for row in numbers[key]] for name, how in TRIVIAL.items()}
        return pictures.Points(heading, along, groups, [row[1] for row in numbers[key]], trivial)

    panels = [
        panel("by_n", "By what is asked for", f"n: 1 is the farthest, {ranks[-1]} is m itself", ranks),
        panel("by_place", "By when vector m is shown", "vectors before m", places),
        panel(
            "by_gap",
            "By the gap between the right distance and the nearest other",
            "distance, groups of the same size",
            ["\n".join(name.rsplit(" ", 1)) for name, _, _ in numbers["by_gap"]],
        ),
        panel(
            "by_number",
            "By the number of vectors",
            f"vectors; training showed {_training_showed(task)}",
            [name for name, _, _ in numbers["by_number"]],
        ),
    ]
    ((_, share, _),) = numbers["overall"]
    return pictures.points(f"{title}: {percent(share.value)} right", panels, (4.0, 3.0))


def _errors(title: str, task: NthFarthest, numbers: dict[str, Any]) -> Figure:
    names = [str(number + 1) for number in range(task.num_vectors)]
    asked = [sum(share.count for share in row) for row in numbers["named"]]
    panels = [
        pictures.Heat(
            "Right answers in %",
            "place of vector m",
            "place of the right vector",
            names,
            names,
            [[share.value for share in row] for row in numbers["by_places"]],
        ),
        pictures.Heat(
            "Answers in %, of each n",
            "n: rank asked for",
            "rank of the vector that the model names",
            names,
            names,
            [
                [share.count / total if total else float("nan") for share in row]
                for row, total in zip(numbers["named"], asked, strict=True)
            ],
        ),
    ]
    side = min(max(0.45 * task.num_vectors + 1.2, 3.6), 7.0)
    return pictures.heats(title, panels, (side + 0.4, side))


def _attention(analysis: Analysis, trained: Trained, task: NthFarthest, sequences: int, seed: int, title: str) -> None:
    """Into the analysis, of a core that attends."""
    told = attention.stories(trained, task, seed)
    if told is None:
        core = trained.config.core["name"]
        analysis.notes.append(f"core={core} does not attend to rows of a memory: there are no pictures of attention")
        return
    read = attention.input_weights(trained, task, sequences, seed)  # [heads, N, T]
    slots = told[0].weights.shape[-2]
    analysis.numbers["attention"] = {
        "stories": [attention.story_json(task, story) for story in told],
        "input": {"sequences": sequences, "even": 1 / (slots + 1), "by_head_place_step": read.tolist()},
    }
    analysis.tables.append(attention.input_table(read, told[0].weights.shape[1], slots, sequences))
    if task.num_vectors > attention.MOST_VECTORS or slots > attention.MOST_SLOTS:
        analysis.notes.append(
            f"pictures of attention have room for {attention.MOST_VECTORS} vectors and {attention.MOST_SLOTS} slots: "
            "there are none; its numbers are in analysis.json"
        )
        return
    analysis.pictures["attention.png"] = attention.draw(task, told, f"{title}: what the slots read from", heads=False)
    for story in told:
        analysis.pictures[f"attention-{story.place}.png"] = attention.draw(
            task, [story], f"{title}: what each head reads from", heads=True
        )


def _by_distance(batch: Batch, item: int) -> str:
    """An item's labels and their distances from m, the farthest first."""
    order = batch.details["order"][item]
    labels = (batch.details["labels"][item][order] + 1).tolist()
    apart = attention.distances(batch)[item][order].tolist()
    ranked = ", ".join(f"{label} ({distance:.2f})" for label, distance in zip(labels, apart, strict=True))
    return f"by distance: {ranked}"
