"""The paper's supervised half: tasks whose data are made as they are needed, models with any memory core, scores.

>>> task = make_task("nth_farthest", num_vectors=4, dimensions=8)
>>> model = make_model(task, "rmc", {"mem_slots": 4, "head_size": 16, "num_heads": 4})
>>> batch = task.batch(64, torch.Generator().manual_seed(0))
>>> logits, state = model(batch.inputs, batch.reset, batch.num_answers)
>>> loss = cross_entropy(logits, batch.targets, batch.mask)

A task of one's own is a class with :func:`register_task`.
"""

from rmc_rl.supervised.language.model import LanguageModel
from rmc_rl.supervised.models import SequenceModel, make_model
from rmc_rl.supervised.scores import Scores, cross_entropy, score, sequence_loss
from rmc_rl.supervised.tasks import Batch, StreamTask, Task, make_task, register_task, task_names

__all__ = [
    "Batch",
    "LanguageModel",
    "Scores",
    "SequenceModel",
    "StreamTask",
    "Task",
    "cross_entropy",
    "make_model",
    "make_task",
    "register_task",
    "score",
    "sequence_loss",
    "task_names",
]
