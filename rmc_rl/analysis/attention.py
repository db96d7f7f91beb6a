"""What a memory attended to while it read a question of Nth Farthest, as the paper's Figure 3 shows it.

One matrix for each time step: a row is a slot that reads, its columns are the slots and, set apart at the right, the
input row that it reads from. Above each matrix stands what is shown at that step. The three sequences hold the same
vectors with the same labels and ask the same question; only when vector m is shown differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from rmc_rl.analysis.analysis import Table
from rmc_rl.analysis.pictures import GROUND, MARK, QUIET, RIGHT, TEXT, TRACK, shades
from rmc_rl.curves.axes import NOTHING
from rmc_rl.supervised.models import SequenceModel
from rmc_rl.supervised.tasks import Batch
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_VECTORS, MOST_SLOTS, MOST_HEADS = 16, 32, 16
"""What a picture has room for."""

PART = 64
"""Sequences traced together: a trace holds every step's weights and memories."""

# In inches: how wide a matrix is at least and at most, what lies between matrices, between the slots' columns and the
# input's, what stands at their left, and around all; then a sequence's words, what follows it, and what frames all.
NARROW, WIDE, GAP, APART, LEFT, EDGE = 1.05, 1.55, 0.24, 0.06, 0.95, 0.2
HEADER, STRIP_GAP, BOTTOM, TOP = 1.02, 0.28, 0.62, 0.5
LEAST_WIDTH = 8.0
"""Of a picture: its words need so much."""


@dataclass(frozen=True)
class Story:
    """A question whose course is drawn.

    Attributes:
        place: when vector m is shown: ``"first"``, ``"middle"`` or ``"last"``.
        batch: with this one sequence.
        answer: the model's, counted from 0.
        weights: ``[T, blocks, heads, rows, rows + 1]``, see `rmc_agents.trace.Trace`.
    """

    place: str
    batch: Batch
    answer: int
    weights: Tensor

    @property
    def right(self) -> bool:
        """Whether the answer is."""
        return self.answer == int(self.batch.targets[0, 0])


@torch.no_grad()
def stories(trained: Trained, task: NthFarthest, seed: int) -> list[Story] | None:
    """The same question three times, with m shown first, in the middle and last (of two vectors, first and last).

    The question is drawn from ``seed``, not chosen by how it is answered; it does not ask for m itself, which needs no
    comparison. None of a core that does not attend.
    """
    batches = questions(task, torch.Generator().manual_seed(seed))
    found = []
    for place, batch in batches.items():
        arguments = batch.inputs, batch.reset, batch.num_answers
        weights = _model(trained).trace(*arguments).attention
        if weights is None:
            return None
        answer = int(trained.model(*arguments)[0].argmax(dim=-1))
        found.append(Story(place, batch, answer, weights[:, 0]))
    return found


def questions(task: NthFarthest, generator: torch.Generator) -> dict[str, Batch]:
    """The batches of :func:`stories`, of one sequence each, by place."""
    count = task.num_vectors
    details = task.batch(1, generator, "evaluation").details
    vectors, labels, m = details["vectors"][0], details["labels"][0], details["m"]
    n = torch.randint(count - 1, (1,), generator=generator)
    reference = int((labels == m).nonzero())
    others = [place for place in range(count) if place != reference]
    posed = {}
    for name, place in {"first": 0, "middle": count // 2, "last": count - 1}.items():
        if place == count - 1 and name == "middle":
            continue
        order = [*others[:place], reference, *others[place:]]
        posed[name] = task.pose(vectors[None, order], labels[None, order], n, m)
    return posed


def _model(trained: Trained) -> SequenceModel:
    """That of a task whose inputs are numbers."""
    return cast(SequenceModel, trained.model)


@torch.no_grad()
def input_weights(trained: Trained, task: NthFarthest, sequences: int, seed: int) -> Tensor:
    """How much the slots read from the input at each step, by when vector m is shown.

    Returns:
        ``[blocks * heads, N, T]``: means over slots and over the sequences in which m is vector 0 .. N - 1 to be shown;
        NaN of none.
    """
    generator = torch.Generator().manual_seed(seed)
    count = task.num_vectors
    total: Tensor | None = None  # [N, heads, T]
    seen = torch.zeros(count, dtype=torch.float64)
    for done in range(0, sequences, PART):
        batch = task.batch(min(PART, sequences - done), generator, "evaluation")
        weights = _model(trained).trace(batch.inputs, batch.reset, batch.num_answers).attention
        assert weights is not None
        read = weights[..., weights.shape[-2] :].sum(dim=-1).mean(dim=-1)  # [T, B, blocks, heads]
        read = read.flatten(2).permute(1, 2, 0).double()
        place = (batch.details["labels"] == batch.details["m"].unsqueeze(1)).int().argmax(dim=1)
        total = read.new_zeros(count, *read.shape[1:]) if total is None else total
        total.index_add_(0, place, read)
        seen += torch.bincount(place, minlength=count)
    assert total is not None
    return (total / seen[:, None, None]).transpose(0, 1)


def input_table(read: Tensor, blocks: int, slots: int, sequences: int) -> Table:
    """How much each head reads from the input while vector m is shown, before and after, from :func:`input_weights`."""
    heads, count, _ = read.shape
    step, place = torch.arange(count), torch.arange(count).unsqueeze(1)
    rows = []
    for head in range(heads):
        block, number = divmod(head, heads // blocks)
        name = f"round {block + 1}, head {number + 1}" if blocks > 1 else f"head {number + 1}"
        parts = (read[head][chosen.expand(count, count)] for chosen in (step < place, step == place, step > place))
        means = [float(part.nanmean()) for part in parts]
        rows.append((name, *(NOTHING if math.isnan(mean) else f"{mean:.3f}" for mean in means)))
    note = f"mean over the slots and {sequences:,} questions; all rows alike: {1 / (slots + 1):.3f}"
    return Table("Weight of the input row", ("head", "before m", "while m is shown", "after m"), rows, note)


def story_json(task: NthFarthest, story: Story) -> dict[str, Any]:
    """A story's words and weights."""
    batch = story.batch
    return {
        "place": story.place,
        "question": task.question(batch, 0),
        "labels": [label + 1 for label in batch.details["labels"][0].tolist()],
        "distances": distances(batch)[0].tolist(),
        "target": int(batch.targets[0, 0]) + 1,
        "answer": story.answer + 1,
        "right": story.right,
        "weights": [[round(weight, 6) for weight in row] for row in story.weights.flatten(0, -2).tolist()],
        "weights_shape": list(story.weights.shape),
    }


def distances(batch: Batch) -> Tensor:
    """Of each vector from vector m, ``[B, N]``, in the order shown."""
    vectors, labels, m = (batch.details[name] for name in ("vectors", "labels", "m"))
    reference = vectors[labels == m.unsqueeze(1)]
    return (vectors - reference.unsqueeze(1)).square().sum(dim=2).sqrt()


@dataclass(frozen=True)
class Layout:
    """Where matrices stand, in inches.

    Attributes:
        steps: T.
        slots: that read and are read from.
        cell: side of a weight.
    """

    steps: int
    slots: int
    cell: float

    @staticmethod
    def of(weights: Tensor) -> Layout:
        """Matrices as wide as a page has room for."""
        steps, slots = len(weights), weights.shape[-2]
        room = (LEAST_WIDTH - LEFT - EDGE) / steps - GAP - APART
        return Layout(steps, slots, min(max(room, NARROW), WIDE) / (slots + 1))

    @property
    def width(self) -> float:
        """Of a matrix, with the input's column."""
        return self.cell * (self.slots + 1) + APART

    @property
    def height(self) -> float:
        """Of a matrix."""
        return self.cell * self.slots

    def left(self, step: int) -> float:
        """Where a step's matrices begin."""
        return LEFT + step * (self.width + GAP)


def draw(task: NthFarthest, told: list[Story], title: str, *, heads: bool) -> Figure:
    """Sequences below one another.

    Args:
        task: their task.
        told: the sequences.
        title: above them.
        heads: whether each head has a line of matrices; else their mean over heads has one, of the last round.
    """
    strips = [_lines(story.weights, heads) for story in told]
    layout = Layout.of(told[0].weights)
    tall = TOP + BOTTOM + sum(HEADER + len(lines) * (layout.height + GAP) + STRIP_GAP for lines in strips)
    figure, axes = _sheet(max(layout.left(layout.steps) + EDGE, LEAST_WIDTH), tall)
    axes.text(EDGE, 0.25, title, color=TEXT, fontsize=11.5, fontweight="bold", va="center", parse_math=False)
    # One scale for the whole picture: strong is strong everywhere.
    strongest = max(float(matrix.max()) for lines in strips for _, matrix in lines)
    top = TOP
    for story, lines in zip(told, strips, strict=True):
        _header(axes, task, story, layout, top)
        top += HEADER
        for name, matrices in lines:
            axes.text(LEFT - 0.26, top + layout.height / 2, name, color=TEXT, fontsize=8, va="center", ha="right")
            _name_rows(axes, layout, top)
            for step, matrix in enumerate(matrices.numpy()):
                _matrix(axes, matrix, layout, layout.left(step), top, strongest)
            top += layout.height + GAP
        _name_columns(axes, layout, top - GAP)
        top += STRIP_GAP
    _scale(axes, strongest, 1 / (layout.slots + 1), tall - 0.5)
    return figure


def _lines(weights: Tensor, heads: bool) -> list[tuple[str, Tensor]]:
    """Names and matrices ``[T, rows, rows + 1]``, one after another."""
    blocks, count = weights.shape[1:3]
    if not heads:
        return [("mean of\nall heads" if count > 1 else "", weights[:, -1].mean(dim=1))]
    words = "round {}\nhead {}" if blocks > 1 else "head {1}"
    chosen = [(block, head) for block in range(blocks) for head in range(count)][-MOST_HEADS:]
    return [(words.format(block + 1, head + 1), weights[:, block, head]) for block, head in chosen]


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose coordinates are inches from the upper left corner."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), facecolor=GROUND)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


_SHOWN = {"first": "m is shown first", "middle": "m is shown in the middle", "last": "m is shown last"}


def _header(axes: Axes, task: NthFarthest, story: Story, layout: Layout, top: float) -> None:
    """The question with both answers, and what is shown at each step."""
    details = story.batch.details
    n, m, target = int(details["n"]), int(details["m"]), int(story.batch.targets)
    pen: dict[str, Any] = {"fontsize": 9.5, "va": "center", "annotation_clip": False}
    place = axes.annotate(_SHOWN[story.place], (EDGE, top + 0.1), color=TEXT, fontweight="bold", **pen)
    question = f"   Which vector is the {ranked(n, task.num_vectors)} from vector {m + 1}?  Vector {target + 1}."
    asked = axes.annotate(question, (1, 0.5), xycoords=place, color=TEXT, **pen)
    verdict = f"  The model: {story.answer + 1}, {'right' if story.right else 'wrong'}"
    colour = RIGHT if story.right else MARK
    axes.annotate(verdict, (1, 0.5), xycoords=asked, color=colour, fontweight="bold", **pen)
    apart = distances(story.batch)[0].tolist()
    ranks = details["order"][0].argsort().tolist()
    for step, label in enumerate(details["labels"][0].tolist()):
        is_m, is_target = label == m, label == target
        colour = MARK if is_m else RIGHT if is_target else QUIET
        middle = layout.left(step) + layout.width / 2
        box = {"boxstyle": "round,pad=0.25", "facecolor": GROUND, "edgecolor": colour} if is_m or is_target else None
        axes.text(
            middle,
            top + 0.5,
            f"vector {label + 1}" + (" = m" if is_m else ""),
            color=colour,
            fontsize=9,
            ha="center",
            va="center",
            weight="bold" if is_m or is_target else "normal",
            bbox=box,
        )
        far = "the reference" if is_m else f"{ranked(ranks[step], task.num_vectors)}, {apart[step]:.2f}"
        axes.text(middle, top + 0.79, far, color=colour, fontsize=7.5, ha="center", va="center")


def _matrix(axes: Axes, matrix: np.ndarray, layout: Layout, left: float, top: float, strongest: float) -> None:
    """Weights ``[rows, rows + 1]`` with the input's column set apart."""
    slots, cell = layout.slots, layout.cell
    rows = top + cell * np.arange(slots + 1)
    pen: dict[str, Any] = {"cmap": shades(), "vmin": 0.0, "vmax": strongest, "edgecolors": TRACK, "linewidth": 0.4}
    axes.pcolormesh(left + cell * np.arange(slots + 1), rows, matrix[:, :slots], **pen)
    at = left + cell * slots + APART
    axes.pcolormesh([at, at + cell], rows, matrix[:, slots:], **pen)


def _name_rows(axes: Axes, layout: Layout, top: float) -> None:
    for slot in _named(layout.slots):
        axes.text(
            LEFT - 0.05,
            top + layout.cell * (slot + 0.5),
            str(slot + 1),
            color=QUIET,
            fontsize=6.5,
            ha="right",
            va="center",
        )


def _name_columns(axes: Axes, layout: Layout, bottom: float) -> None:
    names = {layout.cell * (slot + 0.5): str(slot + 1) for slot in _named(layout.slots)}
    names[layout.cell * (layout.slots + 0.5) + APART] = "in"
    for step in range(layout.steps):
        for place, name in names.items():
            at = layout.left(step) + place
            axes.text(at, bottom + 0.08, name, color=QUIET, fontsize=6.5, ha="center", va="center")


def _named(slots: int) -> range:
    """As many slots as have room for their numbers."""
    return range(0, slots, 1 if slots < 10 else -(-slots // 5))


def _scale(axes: Axes, strongest: float, even: float, top: float) -> None:
    """What colours mean, and how to read a matrix."""
    width = 1.5
    steps = np.linspace(0, width, 65)
    middles = (steps[None, :-1] + steps[None, 1:]) / 2
    axes.pcolormesh(EDGE + steps, [top, top + 0.13], middles, cmap=shades(), vmin=0, vmax=width)
    for value, words in ((0.0, "0"), (strongest, f"{strongest:.2f}")):
        at = EDGE + width * value / strongest
        axes.text(at, top + 0.24, words, color=QUIET, fontsize=7, ha="center", va="center")
    at = EDGE + width * even / strongest
    axes.plot([at, at], [top - 0.03, top + 0.16], color=TEXT, linewidth=0.8)
    words = (
        "weight (tick: all alike). A row is a slot that reads, a column one that is read from; in: the input row.\n"
        "Above: the vector shown at that step, its rank by distance from m, and that distance."
    )
    axes.text(EDGE + width + 0.35, top + 0.1, words, color=QUIET, fontsize=7.5, va="center", linespacing=1.4)


def ranked(rank: int, count: int) -> str:
    """``2nd farthest`` for 1; the last of ``count`` is m itself."""
    if rank == count - 1:
        return "nearest (itself)"
    if rank == 0:
        return "farthest"
    number = rank + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} farthest"
