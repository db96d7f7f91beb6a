"""The page: a template filled with what runs say, all of it escaped, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rmc_rl import palette
from rmc_rl.curves.axes import figure
from rmc_rl.curves.bands import Band, caption, join
from rmc_rl.curves.kinds import Kind
from rmc_rl.curves.runs import Run
from rmc_rl.curves.settings import Setting, by_environment
from rmc_rl.errors import UserError
from rmc_rl.report import tables
from rmc_rl.report.charts import DASHES, NARROW, PENS, WIDE, Chart, chart, constant, pen
from rmc_rl.report.episode import Episode

SPEED = "steps_per_second"


@dataclass(frozen=True)
class Game:
    """What is said about one environment.

    Attributes:
        name: the environment.
        anchor: where the page has it.
        metric: the column that is the score.
        legend: a label and its classes for each setting.
        charts: of the score, wide and narrow.
        note: what lines and bands are.
        learning: further charts.
        still: what is said of columns that never moved.
        speeds: the charts of the speed, wide and narrow.
        scores: tables, as those that follow.
        episode: a recorded one; None where none was asked for.
    """

    name: str
    anchor: str
    metric: str
    legend: list[tuple[str, str]]
    charts: list[tuple[str, Chart]]
    note: str
    learning: list[Chart]
    still: list[str]
    speeds: list[tuple[str, Chart]]
    scores: tables.Table
    runs: tables.Table
    evaluations: tables.Table | None
    throughput: tables.Table
    differing: tables.Table | None
    shared: tables.Table
    episode: Episode | None


def render(
    runs: Sequence[Run], *, metric: str | None, x: str, episodes: Sequence[Episode], notes: Sequence[str] = ()
) -> str:
    """The page's HTML.

    Args:
        runs: at least one.
        metric: the column that is the score; None: what is the score of each kind of runs.
        x: the column along which curves are drawn.
        episodes: recorded ones; one of a run stands beside its environment.
        notes: what the reader should know of how the page came to be.

    Raises:
        UserError: jinja2 or scipy is missing, a column is unknown, or no run has a number in it.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise UserError(
            f'reports need jinja2, which cannot be imported ({error}): pip install "rmc-rl[plot]"'
        ) from error
    environment = Environment(
        loader=PackageLoader("rmc_rl.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    games = [
        _game(f"game-{i}", name, settings, metric, x, episodes)
        for i, (name, settings) in enumerate(by_environment(runs).items())
    ]
    folder = Path(__file__).parent
    style = _colours() + (folder / "page.css").read_text()
    script = (folder / "page.js").read_text()
    return environment.get_template("page.html.jinja").render(
        title=", ".join(game.name for game in games),
        policy=_policy(style, script),
        style=style,
        script=script,
        games=games,
        runs=runs,
        settings=sum(len(game.scores.rows) for game in games),
        machines=tables.machines(runs),
        commands=tables.commands(runs),
        notes=notes,
        made=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )


def _game(
    anchor: str, name: str, settings: Sequence[Setting], metric: str | None, x: str, episodes: Sequence[Episode]
) -> Game:
    kind = settings[0].kind
    metric = metric or kind.score
    pens = {setting.label: pen(i) for i, setting in enumerate(settings)}
    bands = _bands(settings, x, metric)
    if not bands:
        raise UserError(f"no run of {name} has a number in column {metric!r} yet: there is nothing to draw")
    learning = {
        column: found for column in kind.learning if column != metric and (found := _bands(settings, x, column))
    }
    still = {column: value for column, found in learning.items() if (value := constant(found.values())) is not None}
    speeds = _bands(settings, x, SPEED)
    names = {run.name for setting in settings for run in setting.runs}
    return Game(
        name,
        anchor,
        metric,
        list(pens.items()) if len(settings) > 1 else [],
        _both(bands, pens, metric, x, kind),
        caption(list(bands.values())),
        [chart(found, pens, column, x, NARROW, kind) for column, found in learning.items() if column not in still],
        [f"{column} stayed at {figure(value)}" for column, value in still.items()],
        _both(speeds, pens, SPEED, x, kind) if speeds else [],
        tables.scores(settings, metric, pens),
        tables.run_scores(settings, metric, pens),
        tables.evaluations(settings, pens),
        tables.throughput(settings, pens),
        tables.differing(settings, pens),
        tables.shared(settings),
        next((episode for episode in episodes if episode.run in names), None),
    )


def _bands(settings: Sequence[Setting], x: str, metric: str) -> dict[str, Band]:
    """By label; the score must be there, other columns are drawn where they are."""
    found = {}
    for setting in settings:
        band = join([run.curve(x, metric) for run in setting.runs if metric in run.columns])
        if band is not None:
            found[setting.label] = band
    return found


def _both(bands: dict[str, Band], pens: dict[str, str], metric: str, x: str, kind: Kind) -> list[tuple[str, Chart]]:
    """A chart for a wide window and one for a narrow; the style sheet shows one of them."""
    frames = {"wide": WIDE, "narrow": NARROW}
    return [(name, chart(bands, pens, metric, x, frame, kind)) for name, frame in frames.items()]


def _policy(style: str, script: str) -> str:
    """What the page may do: its own style and script, known by their hashes, and pictures and films that it holds."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    rules = ("default-src 'none'", f"style-src {source(style)}", f"script-src {source(script)}", "img-src data:")
    return "; ".join((*rules, "media-src data:", "base-uri 'none'", "form-action 'none'"))


def _colours() -> str:
    """The palette as the style sheet's variables: paper, and the viewer's ground where the reader prefers it dark."""
    paper = _variables(
        palette.PAPER,
        palette.PAPER_CARD,
        palette.PAPER_TRACK,
        palette.PAPER_TEXT,
        palette.PAPER_QUIET,
        palette.PAPER_SERIES,
    )
    bright = [colour for colour in palette.SERIES if colour != palette.YELLOW]  # paper has no yellow
    dark = _variables(palette.GROUND, palette.CARD, palette.TRACK, palette.TEXT, palette.QUIET, bright)
    pens = "".join(f".pen-{i}{{--pen:var(--series-{i})}}" for i in range(PENS))
    dashes = "".join(
        f".dash-{i}{{--dash:{' '.join(f'{2 * length:g}' for length in lengths) or 'none'}}}"
        for i, lengths in enumerate(palette.DASHES[:DASHES])
    )
    return f":root{{{paper}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{pens}\n{dashes}\n"


def _variables(*colours: Any) -> str:
    *grounds, series = colours
    named = dict(zip(("ground", "card", "track", "text", "quiet"), grounds, strict=True))
    named |= {f"series-{i}": colour for i, colour in enumerate(series[:PENS])}
    return "".join(f"--{name}:{palette.css(colour)};" for name, colour in named.items())
