"""What a trained supervised model can and cannot do: for each kind of task one file here that registers its analysis.

::

    run ──▶ Trained ──▶ the analysis of its task's type ──▶ tables, pictures, numbers, examples ──▶ the verb writes them

An analysis of a task of one's own is a function with :func:`register_analysis` in the module that registers the task.
"""

import importlib
import pkgutil

from rmc_rl.analysis.analysis import Analysis, Example, Examples, Follow, Table, analysis_of, register_analysis
from rmc_rl.shares import Share

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Analysis", "Example", "Examples", "Follow", "Share", "Table", "analysis_of", "register_analysis"]
