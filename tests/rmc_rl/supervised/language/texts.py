"""A small text of its own making."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = ("a", "bird", "cat", "dog", "eats", "fish", "garden", "house", "is", "in", "old", "sees", "the", "young")


def write_texts(folder: Path, lines: int = 40, name: str = "wiki.{}.tokens") -> Path:
    """A folder with a file for each part; of the validation's words one is not in the training text."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    for part, count in (("train", lines), ("valid", 5), ("test", 7)):
        rows = [" ".join(chance.choices(WORDS, k=chance.randint(0, 9))) for _ in range(count)]
        if part == "valid":
            rows.append("the unicorn sees")
        (folder / name.format(part)).write_text("\n".join(rows) + "\n")
    return folder
