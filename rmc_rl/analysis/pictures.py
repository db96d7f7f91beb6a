"""Pictures of shares: points with their intervals beside what needs no skill, and heat maps with their numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rmc_rl import palette
from rmc_rl.errors import UserError
from rmc_rl.shares import Share, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

TEXT, QUIET, TRACK, GROUND = map(
    palette.css, (palette.PAPER_TEXT, palette.PAPER_QUIET, palette.PAPER_TRACK, palette.PAPER)
)
SERIES = tuple(map(palette.css, palette.PAPER_SERIES))
MODEL, RIGHT, MARK = SERIES[3], SERIES[2], SERIES[4]
"""Colours of the model's own figures, of what is right, and of what is to be found at once."""

TRIVIAL_PENS = (
    {"color": QUIET, "linestyle": (0, (1.5, 1.5))},
    {"color": SERIES[0], "linestyle": (0, (5, 2))},
    {"color": SERIES[4], "linestyle": "-"},
)
"""How the lines of what needs no skill look, in their order."""

MOST_WRITTEN = 12
"""Heat maps of more rows or columns are drawn without numbers."""


@dataclass(frozen=True)
class Points:
    """A panel: a share for each of several groups.

    Attributes:
        title: above it.
        along: what the groups differ in.
        groups: their names.
        shares: of right answers, each drawn with its interval.
        trivial: by name, what needs no skill in each group.
    """

    title: str
    along: str
    groups: Sequence[str]
    shares: Sequence[Share]
    trivial: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Heat:
    """A panel: a share for each of rows times columns.

    Attributes:
        title: above it.
        down: what rows differ in.
        along: what columns differ in.
        rows: names, from the top.
        columns: names, from the left.
        values: ``[rows][columns]`` from 0 to 1; NaN where there is none.
    """

    title: str
    down: str
    along: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]


def require() -> None:
    """Raise `UserError` where matplotlib is missing, before anything is computed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'plots need matplotlib, which cannot be imported ({error}): pip install "rmc-rl[plot]"'
        ) from error


def shades() -> Colormap:
    """White for 0 to the model's colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("weights", [GROUND, SERIES[1], MODEL])


def points(title: str, panels: Sequence[Points], size: tuple[float, float]) -> Figure:
    """Panels side by side, each from 0 to 100 % of right answers.

    Args:
        title: above the figure.
        panels: whose lines of the same name look the same.
        size: of a panel, in inches.
    """
    from matplotlib.ticker import PercentFormatter

    figure, drawn = empty(title, len(panels), size)
    handles: dict[str, Any] = {}
    names = list(dict.fromkeys(name for panel in panels for name in panel.trivial))
    for axes, panel in zip(drawn, panels, strict=True):
        where = np.arange(len(panel.groups))
        for name, trivial in panel.trivial.items():
            edges = np.repeat(where, 2) + np.tile([-0.5, 0.5], len(where))
            pen = TRIVIAL_PENS[names.index(name) % len(TRIVIAL_PENS)]
            (handles[name],) = axes.plot(edges, np.repeat(list(trivial), 2), linewidth=1.4, **pen)
        values = np.array([share.value for share in panel.shares])
        low, high = np.array([share.interval for share in panel.shares]).T
        errors = np.maximum([values - low, high - values], 0.0)  # noise of the last digit is none
        handles["model, with its 95 % interval"] = axes.errorbar(
            where, values, errors, fmt="o", color=MODEL, markersize=5, capsize=3, linewidth=1.4, zorder=3
        )
        # Room below 0 and above 100 %, so that no point is cut.
        axes.set(ylim=(-0.03, 1.04), xlim=(-0.6, len(where) - 0.4))
        name_ticks(axes, panel.groups, "x")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.grid(axis="y", color=TRACK, linewidth=0.6)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(QUIET)
        dress(axes, panel.title, panel.along, "Right answers" if axes is drawn[0] else "")
    order = sorted(handles, key=lambda name: name in names)  # the model first
    abreast = sum(len(name) + 6 for name in order) < figure.get_figwidth() * 13
    figure.legend(
        [handles[name] for name in order],
        order,
        loc="outside lower left",
        ncols=len(order) if abreast else 2,
        frameon=False,
        fontsize=9,
        labelcolor=TEXT,
    )
    return figure


def heats(title: str, panels: Sequence[Heat], size: tuple[float, float]) -> Figure:
    """Heat maps side by side, white for 0 to dark for 100 %; see :func:`points`."""
    figure, drawn = empty(title, len(panels), size)
    for axes, panel in zip(drawn, panels, strict=True):
        values = np.array(panel.values, dtype=float).reshape(len(panel.rows), len(panel.columns))
        axes.set_facecolor(palette.css(palette.PAPER_CARD))
        axes.imshow(np.ma.masked_invalid(values), cmap=shades(), vmin=0, vmax=1, aspect="auto")
        if max(values.shape) <= MOST_WRITTEN:
            for (row, column), value in np.ndenumerate(values):
                ink = GROUND if value > 0.6 else QUIET if np.isnan(value) else TEXT
                words = percent(value).removesuffix(" %")
                axes.text(column, row, words, ha="center", va="center", color=ink, fontsize=8)
        name_ticks(axes, panel.columns, "x")
        name_ticks(axes, panel.rows, "y")
        for spine in axes.spines.values():
            spine.set_color(TRACK)
        dress(axes, panel.title, panel.along, panel.down)
    return figure


def empty(title: str, count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels side by side, each of this size in inches."""
    from matplotlib.figure import Figure

    width, height = size
    figure = Figure((width * count, height + 0.7), facecolor=GROUND, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=TEXT, fontsize=11.5, fontweight="bold", parse_math=False)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def name_ticks(axes: Axes, names: Sequence[str], axis: str) -> None:
    """On axis ``x`` or ``y``: as many names as have room."""
    step = max(1, -(-len(names) // 16))
    shown = range(0, len(names), step)
    set_ticks = axes.set_xticks if axis == "x" else axes.set_yticks
    set_ticks(list(shown), [names[place] for place in shown])


def dress(axes: Axes, title: str, along: str, down: str) -> None:
    """A panel's title and the names of its axes."""
    axes.set_title("\n".join(textwrap.wrap(title, 52)), loc="left", color=TEXT, fontsize=9.5)
    axes.set_xlabel(along, color=TEXT, fontsize=9)
    axes.set_ylabel(down, color=TEXT, fontsize=9)
    axes.tick_params(colors=QUIET, labelsize=8, length=0)
