"""What a memory is asked: every file here that registers a task brings one in."""

import importlib
import pkgutil

from rmc_rl.supervised.tasks.task import NOTHING, Batch, StreamTask, Task, make_task, register_task, task_names

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["NOTHING", "Batch", "StreamTask", "Task", "make_task", "register_task", "task_names"]
