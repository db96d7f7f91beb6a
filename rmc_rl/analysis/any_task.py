"""The analysis of a task that nothing more is known of: its scores, and examples of its questions and answers."""

from __future__ import annotations

import torch

from rmc_rl.analysis.analysis import Analysis, Examples, Follow, Table, counting, register_analysis
from rmc_rl.analysis.scoring import Tally, score_row
from rmc_rl.supervised.tasks import Task
from rmc_rl.supervised.trained import Trained


@register_analysis(Task)
def analyse(trained: Trained, sequences: int, seed: int, follow: Follow) -> Analysis:
    """Of sequences of full difficulty."""
    tally = Tally()
    examples = Examples()
    count = counting(follow, sequences)
    for batch, logits in trained.asked(trained.task, sequences, torch.Generator().manual_seed(seed)):
        tally.add(batch, logits)
        examples.add(trained.task, batch, logits.argmax(dim=-1))
        count(logits.shape[1])
    columns, row = score_row(tally)
    return Analysis(
        numbers=tally.as_json(),
        tables=[Table("Right answers, at full difficulty", columns, [row])],
        examples=examples.found,
        notes=["this kind of task has no analysis of its own: its scores and examples are all there is"],
    )
