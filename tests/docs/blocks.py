"""The code blocks of README and pages, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", ROOT / "envs" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]*?) -->\n)?"
    r"(?:`(?P<file>[\w./-]+)`:\n\n)?"
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: where it stands, below the repository's root.
        language: of the fence; without one "bash" for commands, "text" for anything else.
        code: its text.
        file: the name it is to be kept under, where a line before it says so.
        not_run: why it is not run, where a comment before it says so.
    """

    page: str
    language: str
    code: str
    file: str | None
    not_run: str | None

    @property
    def commands(self) -> list[list[str]]:
        """Of a shell's block the words of each command, what follows ``&&`` a command of its own."""
        found = []
        for line in self.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                found.append(words[: words.index("&&")])
                words = words[words.index("&&") + 1 :]
            found.append(words)
        return [words for words in found if words]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [
        Block(page, match["language"] or _unnamed(match["code"]), match["code"], match["file"], match["why"])
        for match in BLOCK.finditer(PAGES[page])
    ]


def _unnamed(code: str) -> str:
    return "bash" if code.startswith("python -m ") else "text"


def module_words(command: list[str]) -> tuple[str, list[str]] | None:
    """Of a command ``python -m module word …`` the module and the words; None where it is no such command."""
    words = [word for number, word in enumerate(command) if "=" not in word or number > 1]  # variables come first
    if words[0] == "timeout":  # its own options, then the command
        words = words[words.index("python") :]
    if Path(words[0]).name not in ("python", "python3") or words[1:2] != ["-m"]:
        return None
    rest = words[3:]
    for sign in ("|", ">"):
        rest = rest[: rest.index(sign)] if sign in rest else rest
    return words[2], rest
