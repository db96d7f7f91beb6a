"""``python -m rmc_rl.plot runs=[a,b]``: learning curves as a figure for a paper or a slide.

The suffix of ``file=`` says the format: ``.png``, ``.svg`` or ``.pdf``. Runs that differ in their seed only become one
line with a band; the legend names settings by what they differ in. ``group=latest`` draws the newest sweep.
``metric=[return_mean,entropy]`` draws panels side by side; docs/metrics.md explains the names.
"""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmc_rl import palette
from rmc_rl.curves.axes import X_NAMES, compact, tick_words, x_axis
from rmc_rl.curves.bands import Band, caption, join, reach, smoothed
from rmc_rl.curves.runs import Run, find_runs, read_run
from rmc_rl.curves.settings import Setting, by_environment
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.output import check_name, unfinished

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 200
SMALLEST_SIZE, LARGEST_SIZE = 1.5, 40.0
SMALLEST_PANEL = 0.5
"""In inches; the height of one with what stands around it."""
MOST_PANELS = 12


@dataclass
class PlotOptions:
    """Options of the verb."""

    runs: list[str] = option(["latest"], "run folders, names in runs_dir, patterns (runs/*-rmc-*), or latest")
    group: str | None = option(None, "draw the runs of this group instead, a sweep's; latest: the newest")
    metric: list[str] | None = option(
        None, "columns of metrics.csv, a panel each; null: return_mean, of supervised runs test_accuracy"
    )
    x: str = option("steps", "along what", choices=tuple(X_NAMES))
    smooth: int = option(1, "draw the mean of so many lines of metrics; 1: as logged", minimum=1)
    file: str = option("plot.png", "what to write: .png, .svg or .pdf")
    size: str | None = option(None, "WIDTHxHEIGHT in inches; null: 6.4x4, or as many panels need")
    ground: str = option("paper", "white, or dark as the viewer", choices=("paper", "dark"))
    title: str | None = option(None, "above the figure; null: what is played")
    note: bool = option(True, "say below the figure what lines and bands are")
    runs_dir: str = option("runs", "where run folders are")


@dataclass(frozen=True)
class Ground:
    """Colours of a figure."""

    ground: str
    text: str
    quiet: str
    track: str
    series: tuple[str, ...]


def _ground(*colours: palette.Colour, series: Sequence[palette.Colour]) -> Ground:
    ground, text, quiet, track = map(palette.css, colours)
    return Ground(ground, text, quiet, track, tuple(map(palette.css, series)))


GROUNDS = {
    "paper": _ground(
        palette.PAPER, palette.PAPER_TEXT, palette.PAPER_QUIET, palette.PAPER_TRACK, series=palette.PAPER_SERIES
    ),
    "dark": _ground(palette.GROUND, palette.TEXT, palette.QUIET, palette.TRACK, series=palette.SERIES),
}


def parse_size(text: str | None) -> tuple[float, float] | None:
    """``6.4x4`` as inches; None for None.

    Raises:
        UserError: it is written otherwise, or too small or too large.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)x(\d{1,3}(?:\.\d{1,3})?)", text.strip().lower())
    size = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if any(not SMALLEST_SIZE <= side <= LARGEST_SIZE for side in size):
        raise UserError(
            f"size={text}: WIDTHxHEIGHT in inches is needed, each from {SMALLEST_SIZE:g} to {LARGEST_SIZE:g}, "
            "as in size=6.4x4"
        )
    return size


def draw(
    runs: Sequence[Run],
    metrics: Sequence[str] | None = None,
    *,
    x: str = "steps",
    smooth: int = 1,
    size: tuple[float, float] | None = None,
    ground: str = "paper",
    title: str | None = None,
    note: bool = True,
) -> tuple[Figure, str]:
    """Draw learning curves, a panel for each environment and metric.

    Args:
        runs: whose; those that differ in their seed only become one line.
        metrics: columns of ``metrics.csv``; None: the score of each kind of runs.
        x: the column along which.
        smooth: lines of metrics that a point is the mean of.
        size: in inches; None: what the panels need.
        ground: a key of `GROUNDS`.
        title: above the figure; None: a single environment's name.
        note: whether to say below the panels what lines and bands are.

    Returns:
        The figure, and in words what its lines and bands are.

    Raises:
        UserError: matplotlib or scipy is missing, a column is unknown, none of the runs has a number in it, or the size
            has no room for what is to be drawn.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise UserError(
            f'plots need matplotlib, which cannot be imported ({error}): pip install "rmc-rl[plot]"'
        ) from error
    colours = GROUNDS[ground]
    environments = by_environment(runs)
    panels = [
        (name, metric) for name, settings in environments.items() for metric in metrics or [settings[0].kind.score]
    ]
    if len(panels) > MOST_PANELS:
        raise UserError(f"{len(panels)} panels are too many for one figure, at most {MOST_PANELS}: name fewer")
    pens = _pens([setting.label for settings in environments.values() for setting in settings], colours)
    # As few rows as fit three abreast, as even as can be; metrics of one environment stand in one row.
    abreast = len(panels) // len(environments)
    columns = min(abreast, 3) if abreast > 1 else -(-len(panels) // -(-len(panels) // 3))
    rows = -(-len(panels) // columns)
    width, height = size or ((6.4, 3.9) if len(panels) == 1 else (4.2 * columns, 3.1 * rows))
    legend = _legend_lines(list(pens), width) if len(pens) > 1 else []
    with rc_context({"text.parse_math": False}):  # a dollar sign in a name is one
        figure = Figure(facecolor=colours.ground, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        drawn: list[Band] = []
        for i, (panel, (name, metric)) in enumerate(zip(axes, panels, strict=False)):
            drawn += _panel(panel, environments[name], metric, x, smooth, pens, colours)
            if i % abreast == 0 and len(environments) > 1:
                panel.set_title(_plain(name), color=colours.text, fontsize=11, fontweight="bold", loc="left", pad=8)
        for panel in axes[len(panels) :]:
            panel.remove()
        words = caption(drawn)
        if smooth > 1:
            words = "; ".join(filter(None, [f"a point is the mean of {smooth} lines of metrics", words]))
        lines = textwrap.wrap(words, int(width * 17)) if note else []
        above = title if title is not None else next(iter(environments)) if len(environments) == 1 else ""
        heading = 0.34 if above else 0.0
        strip, top = 0.13 * len(lines) + (0.06 if lines else 0), heading + 0.24 * len(legend) + 0.06
        if size is None:
            height += strip + top
        if height - strip - top < SMALLEST_PANEL * rows:
            raise _no_room(width, height)
        figure.set_size_inches(width, height)
        engine = figure.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        engine.set(hspace=0.06, rect=(0, strip / height, 1, 1 - (strip + top) / height))
        for i, line in enumerate(reversed(lines)):
            figure.text(0.08 / width, (0.05 + 0.13 * i) / height, line, color=colours.quiet, fontsize=7, va="bottom")
        figure.text(
            0.08 / width,
            1 - 0.22 / height,
            _plain(above),
            color=colours.text,
            fontsize=11.5,
            fontweight="bold",
            va="center",
        )
        for i, row in enumerate(legend):
            _legend(figure, row, pens, 1 - (heading + 0.14 + 0.24 * i) / height, colours)
    return figure, words


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file appears under its name when it is complete.

    Raises:
        UserError: an unknown suffix, a place that cannot be written, or more panels than a figure of its size can hold.
    """
    check_name("file", path, SUFFIXES)
    from matplotlib import rc_context

    # The same runs make the same file; letters of a PDF stay letters, as journals ask.
    with (
        unfinished(path) as part,
        rc_context({"svg.hashsalt": "rmc-rl", "pdf.fonttype": 42}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        warnings.filterwarnings("error", "constrained_layout not applied", UserWarning)
        date: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
        try:
            figure.savefig(part, dpi=DOTS_PER_INCH, facecolor=figure.get_facecolor(), metadata=date)
        except UserWarning as warning:
            raise _no_room(*figure.get_size_inches()) from warning


def _no_room(width: float, height: float) -> UserError:
    return UserError(f"size={width:g}x{height:g} has no room for the panels and their words: name a larger one")


def _pens(labels: Sequence[str], colours: Ground) -> dict[str, dict[str, Any]]:
    """How each label's line looks, the same in every panel: colours first, then dashes."""
    pens: dict[str, dict[str, Any]] = {}
    for label in dict.fromkeys(labels):
        turn, colour = divmod(len(pens), len(colours.series))
        dashes = palette.DASHES[turn % len(palette.DASHES)]
        pens[label] = {"color": colours.series[colour], "linewidth": 1.8} | ({"dashes": dashes} if dashes else {})
    return pens


def _panel(
    axes: Axes,
    settings: Sequence[Setting],
    metric: str,
    x: str,
    smooth: int,
    pens: dict[str, dict[str, Any]],
    colours: Ground,
) -> list[Band]:
    joined = [join([smoothed(run.curve(x, metric), smooth) for run in setting.runs]) for setting in settings]
    bands = {setting.label: band for setting, band in zip(settings, joined, strict=True) if band is not None}
    if not bands:
        raise UserError(f"no run has a number in column {metric!r} yet: there is nothing to draw")
    kind = settings[0].kind
    along = x_axis(x, max(reach(band) for band in bands.values()), kind.steps)
    for label, band in bands.items():
        pen, where = pens[label], band.x / along.divisor
        if band.low is not None and band.high is not None:
            axes.fill_between(where, band.low, band.high, color=pen["color"], alpha=0.18, linewidth=0)
        axes.plot(where, band.middle, marker="o" if len(where) == 1 else None, markersize=4, **pen)
        for later, values in band.beyond:
            axes.plot(later / along.divisor, values, **pen | {"alpha": 0.4, "linewidth": 1.0})
    _dress(axes, along.label, kind.describe(metric), colours)
    return list(bands.values())


def _dress(axes: Axes, along: str, words: str, colours: Ground) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    class Formatter(FuncFormatter):
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return tick_words(values)

    axes.set_ylabel("\n".join(textwrap.wrap(_plain(words[:1].upper() + words[1:]), 42)), color=colours.text, fontsize=9)
    axes.set_xlabel(along[:1].upper() + along[1:], color=colours.text, fontsize=9)
    axes.set_facecolor(colours.ground)
    axes.grid(axis="y", color=colours.track, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours.quiet, labelsize=8, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(Formatter(lambda value, _: compact(value)))
    axes.margins(x=0.01)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours.quiet)


def _legend_lines(labels: Sequence[str], width: float) -> list[list[str]]:
    """Labels in rows that fit the width in inches."""
    rows: list[list[str]] = [[]]
    for label in labels:
        if rows[-1] and sum(len(word) + 6 for word in [*rows[-1], label]) > width * 13:
            rows.append([])
        rows[-1].append(label)
    return rows


def _legend(
    figure: Figure, labels: Sequence[str], pens: dict[str, dict[str, Any]], height: float, colours: Ground
) -> None:
    from matplotlib.lines import Line2D

    legend = figure.legend(
        [Line2D([], [], **pens[label]) for label in labels],
        list(map(_plain, labels)),
        loc="center left",
        bbox_to_anchor=(0, height),
        ncols=len(labels),
        frameon=False,
        fontsize=9,
        labelcolor=colours.text,
        handlelength=1.8,
        columnspacing=1.6,
    )
    legend.set_in_layout(False)


def _plain(text: str) -> str:
    """One line without what cannot be drawn."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:300]


@reports_user_errors
def main() -> None:
    """Draw the figure, and say what is in it."""
    options = parse_options(PlotOptions, sys.argv[1:], __doc__ or "")
    path = Path(options.file)
    check_name("file", path, SUFFIXES)
    size = parse_size(options.size)
    runs = [read_run(folder) for folder in find_runs(options.runs, options.group, options.runs_dir)]
    figure, words = draw(
        runs,
        options.metric,
        x=options.x,
        smooth=options.smooth,
        size=size,
        ground=options.ground,
        title=options.title,
        note=options.note,
    )
    save(figure, path)
    many = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    print("; ".join(filter(None, [f"{path}: {many}", words])))


if __name__ == "__main__":
    main()
