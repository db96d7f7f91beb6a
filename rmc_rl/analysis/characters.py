"""The analysis of programs and memorization: characters and whole answers that are right, at every level of difficulty.

Evaluation asks questions of the greatest length and nesting only. Here a copy of the task, with a curriculum that
stands still at a level, asks as many at each level; the trained task is left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from rmc_rl.analysis import pictures
from rmc_rl.analysis.analysis import Analysis, Examples, Follow, Table, counting, register_analysis
from rmc_rl.analysis.scoring import Tally, score_row
from rmc_rl.shares import Share
from rmc_rl.supervised.tasks.characters import CharacterTask
from rmc_rl.supervised.tasks.curriculum import Curriculum
from rmc_rl.supervised.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Level = tuple[int, int]
"""Nesting and length."""


@register_analysis(CharacterTask)
def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis:
    """Of ``sequences`` questions at each level."""
    pictures.require()
    task = trained.task
    assert isinstance(task, CharacterTask)
    levels = [
        (nesting, length)
        for nesting in range(1, task.curriculum.max_nesting + 1)
        for length in range(1, task.curriculum.max_length + 1)
    ]
    generator = torch.Generator().manual_seed(seed)
    tallies: dict[Level, Tally] = {}
    examples = Examples()
    count = counting(follow, len(levels) * sequences)
    for level in levels:
        posing = at_level(task, level)
        tally = tallies[level] = Tally()
        for batch, logits in trained.asked(posing, sequences, generator):
            if level in (levels[0], levels[-1]):
                examples.add(posing, batch, logits.argmax(dim=-1), _name(level, task.curriculum.max_nesting))
            tally.add(batch, logits)
            count(logits.shape[1])
    options = trained.config.task
    kind = next((str(options[key]) for key in ("program", "kind") if key in options), str(options["name"]))
    title = f"{kind} · {trained.config.core['name']}"
    return Analysis(
        numbers={
            "levels": [
                {"nesting": nesting, "length": length, **tally.as_json()}
                for (nesting, length), tally in tallies.items()
            ]
        },
        tables=[_table(tallies), _places_table(tallies[levels[-1]])],
        pictures={"accuracy.png": _accuracy(title, tallies), "places.png": _places(title, tallies)},
        examples=examples.found,
        notes=_notes(task, levels),
    )


def at_level(task: CharacterTask, level: Level) -> CharacterTask:
    """A copy of the task whose batches of evaluation are all of one level; the task itself is left as it is."""
    nesting, length = level
    copied = copy.copy(task)
    copied.curriculum = Curriculum("baseline", length, nesting, task.curriculum.patience)
    return copied


def _name(level: Level, max_nesting: int) -> str:
    nesting, length = level
    return f"length {length}, nesting {nesting}" if max_nesting > 1 else f"length {length}"


def _notes(task: CharacterTask, levels: list[Level]) -> list[str]:
    """What training did not ask."""
    nesting, length = levels[-1]
    if task.curriculum.name == "baseline" and len(levels) > 1:
        return [
            f"training asked nothing but {_name((nesting, length), nesting)} (task.curriculum=baseline): easier "
            "questions are new to the model"
        ]
    return []


def _table(tallies: dict[Level, Tally]) -> Table:
    most = max(tallies)[0]
    rows = []
    for (nesting, length), tally in tallies.items():
        columns, row = score_row(tally)
        rows.append((*([str(nesting)] if most > 1 else []), str(length), *row))
    headings = (*(["nesting"] if most > 1 else []), "length", "characters right", *columns[1:])
    note = "constant: always the same character at each place, the one that is right there most often"
    return Table("By length and nesting" if most > 1 else "By length", headings, rows, note)


def _places_table(tally: Tally) -> Table:
    rows = [(str(place + 1), *share.words, f"{share.count:,}") for place, share in enumerate(tally.places)]
    note = "from the first character of the answer; shorter answers have no later ones"
    return Table("By place in the answer, at full difficulty", ("place", "right", "95 %", "answers"), rows, note)


def _accuracy(title: str, tallies: dict[Level, Tally]) -> Figure:
    """Heat maps of nesting times length; of one nesting, points along length."""
    nestings, lengths = (sorted({level[axis] for level in tallies}) for axis in (0, 1))
    names = [str(length) for length in lengths]
    if len(nestings) > 1:
        values: dict[str, Callable[[Tally], float]] = {
            "Characters right, in %": lambda tally: tally.answers.value,
            "Answers wholly right, in %": lambda tally: tally.solved.value,
            "Always the likeliest character of the place": lambda tally: tally.constant,
        }
        rows = [str(nesting) for nesting in nestings]
        maps = [
            pictures.Heat(
                heading,
                "nesting",
                "length",
                rows,
                names,
                [[value(tallies[nesting, length]) for length in lengths] for nesting in nestings],
            )
            for heading, value in values.items()
        ]
        return pictures.heats(title, maps, (max(3.6, 0.6 * len(lengths) + 1), max(1.6, 0.5 * len(nestings) + 0.8)))
    constant = {"always the likeliest character of the place": [tally.constant for tally in tallies.values()]}
    points = [
        pictures.Points("Characters", "length", names, [tally.answers for tally in tallies.values()], constant),
        pictures.Points("Whole answers", "length", names, [tally.solved for tally in tallies.values()], {}),
    ]
    return pictures.points(title, points, (max(3.6, 0.4 * len(lengths) + 1), 3.0))


def _places(title: str, tallies: dict[Level, Tally]) -> Figure:
    """Of the greatest nesting, lengths times places."""
    most = max(tallies)[0]
    chosen = {length: tally for (nesting, length), tally in tallies.items() if nesting == most}
    most_places = max(_used(tally.places) for tally in chosen.values())
    heading = "Characters right in %, by place in the answer"
    panel = pictures.Heat(
        heading + (f" (nesting {most})" if most > 1 else ""),
        "length",
        "place, from the first character",
        [str(length) for length in chosen],
        [str(place + 1) for place in range(most_places)],
        [[share.value for share in tally.places[:most_places]] for tally in chosen.values()],
    )
    return pictures.heats(title, [panel], (max(4.6, 0.55 * most_places + 1), max(1.9, 0.42 * len(chosen) + 0.8)))


def _used(places: list[Share]) -> int:
    """Places that any answer has."""
    return max(place + 1 for place, share in enumerate(places) if share.count)
