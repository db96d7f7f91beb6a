from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from rmc_rl.errors import UserError
from rmc_rl.supervised.language.sources import BLOCK_LINES, text_files
from tests.rmc_rl.supervised.language.texts import write_texts


def content(data: str | None, kept: Path) -> dict[str, str]:
    with text_files(data, kept) as files:
        return {part: path.read_text(encoding="utf-8") for part, path in files.items()}


@pytest.mark.parametrize("name", ["wiki.{}.tokens", "{}.txt", "ptb.{}.txt", "{}-00.RAW"])
def test_a_folder_with_a_file_for_each_part(name: str, tmp_path: Path) -> None:
    write_texts(tmp_path, name=name)
    (tmp_path / "README.md").write_text("about train, valid and test")
    assert content(str(tmp_path), tmp_path)["test"] == (tmp_path / name.format("test")).read_text()


def test_dev_and_validation_are_names_too(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "wiki.valid.tokens").rename(tmp_path / "Corpus_Dev.txt")
    assert "unicorn" in content(str(tmp_path), tmp_path)["valid"]


def test_parts_that_are_missing_or_there_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file for the part 'train' \(there is no text at all\)"):
        content(str(tmp_path), tmp_path)
    write_texts(tmp_path)
    (tmp_path / "train.txt").write_text("more\n")
    with pytest.raises(UserError, match=r"more than one file for the part 'train' \(there is train.txt, wiki"):
        content(str(tmp_path), tmp_path)
    with pytest.raises(UserError, match=r"nowhere: there is no such file or folder; data takes a folder"):
        content(str(tmp_path / "nowhere"), tmp_path)


def test_one_text_is_divided(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(2 * 20 * BLOCK_LINES)]
    (tmp_path / "book.txt").write_text("".join(lines))
    parts = content(str(tmp_path / "book.txt"), tmp_path)
    assert parts["valid"].splitlines(keepends=True) == [*lines[1800:1900], *lines[3800:3900]]
    assert parts["test"].splitlines(keepends=True) == [*lines[1900:2000], *lines[3900:4000]]
    assert parts["train"].splitlines(keepends=True) == [*lines[:1800], *lines[2000:3800]]
    (tmp_path / "poem.txt").write_text("short\n")
    with pytest.raises(UserError, match=r"too short to be divided .* more than 1,900 lines needed"):
        content(str(tmp_path / "poem.txt"), tmp_path)


def test_a_line_of_a_divided_text_is_named(tmp_path: Path) -> None:
    lines = [b"line\n"] * (20 * BLOCK_LINES)
    lines[1950] = b"caf\xe9\n"
    (tmp_path / "book.txt").write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"book\.txt, line 1951: byte 0xe9 is no UTF-8"):
        content(str(tmp_path / "book.txt"), tmp_path)


@pytest.mark.parametrize("data", ["book.txt", None])
def test_no_room_to_divide_a_text(data: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("line\n" * 20 * BLOCK_LINES)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(UserError, match=rf"task.data={data or 'null'} cannot be divided in .* \(No space left"):
        content(data, tmp_path)


def test_pythons_own_help(tmp_path: Path) -> None:
    parts = content(None, tmp_path)
    assert len(parts["train"].split()) > 10 * len(parts["valid"].split()) > 5_000
    assert not list(tmp_path.iterdir())


class Hub(ModuleType):
    """Stands for ``datasets``."""

    calls = 0
    splits = ("train", "validation", "test")

    def load_dataset(self, name: str, configuration: str | None) -> dict[str, list[dict[str, str]]]:
        Hub.calls += 1
        if name != "some/wiki":
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        return {split: [{"text": f"{configuration} {split}\n"}, {"text": ""}] for split in self.splits}


def test_the_hub_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Hub("datasets"))
    monkeypatch.setattr(Hub, "calls", 0)
    parts = content("hf:some/wiki:raw", tmp_path)
    assert parts == {"train": "raw train\n\n", "valid": "raw validation\n\n", "test": "raw test\n\n"}
    assert content("hf:some/wiki:raw", tmp_path) == parts
    assert Hub.calls == 1
    with pytest.raises(UserError, match=r"hf:other could not be brought .*doesn't exist on the Hub"):
        content("hf:other", tmp_path)
    monkeypatch.setattr(Hub, "splits", ("train",))
    with pytest.raises(UserError, match="it has the splits train; one of each"):
        content("hf:some/wiki:more", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "nothing is left half written"


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'pip install "rmc-rl\[text\]"'):
        content("hf:some/wiki", tmp_path)
