"""``python -m rmc_rl``: list the verbs; ``python -m rmc_rl watch run=latest`` is ``python -m rmc_rl.watch run=latest``.

A verb is a module of this package that can be run. What is said of it is the first line of its own docstring.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

from rmc_rl.errors import UserError, nearest, reports_user_errors

PACKAGE = Path(__file__).resolve().parent
RUNNABLE = 'if __name__ == "__main__":'
SUMMARY = re.compile(r"``python -m rmc_rl\.(\w+)[^`]*``: (.+)")
USAGE = """\
Reinforcement learning with the Relational Memory Core.

  python -m rmc_rl.<verb> key=value …     do something
  python -m rmc_rl.<verb> --help          what can be typed there

Verbs:"""


def verbs() -> dict[str, str]:
    """Each verb and what it does, read from its source: nothing is imported."""
    files = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__main__"}
    files |= {path.parent.name: path for path in PACKAGE.glob("*/__main__.py")}
    sources = {name: files[name].read_text(encoding="utf-8") for name in sorted(files)}
    return {name: _summary(name, source) for name, source in sources.items() if RUNNABLE in source}


def _summary(name: str, source: str) -> str:
    docstring = ast.get_docstring(ast.parse(source)) or ""
    found = SUMMARY.search(docstring.partition("\n")[0])
    if found is None or found[1] != name:
        raise ValueError(f"the docstring of the verb {name} must begin with ``python -m rmc_rl.{name}``: what it does")
    return found[2].rstrip(".:")


@reports_user_errors
def main() -> None:
    """List the verbs, or run one."""
    known = verbs()
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help"):
        width = max(map(len, known))
        print(USAGE, *(f"  {name:<{width}}  {summary}" for name, summary in known.items()), sep="\n")
        return
    if word not in known:
        raise UserError(f"'{word}' is not a verb: {nearest(word, known)}")
    del sys.argv[1]
    runpy.run_module(f"rmc_rl.{word}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
