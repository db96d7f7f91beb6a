from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rmc_rl.errors import UserError
from rmc_rl.page.folder import LIST, write_folder

FILES = {"index.html": b"page", "games/index.js": b"rules", "ort/old.js": b"old"}


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_holds_the_files_and_their_list(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "page"
    size = write_folder(folder, FILES)
    found = everything(folder)
    listed = found.pop(LIST)
    assert found == FILES
    assert set(json.loads(listed)["files"]) == set(FILES)
    assert size == sum(map(len, found.values())) + len(listed)
    assert [path.name for path in folder.parent.iterdir()] == ["page"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    write_folder(tmp_path / "page", FILES)
    assert everything(tmp_path / "page").keys() == {*FILES, LIST}


def test_writing_anew_replaces_ours_and_keeps_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    write_folder(folder, FILES)
    (folder / "CNAME").write_text("mine")
    new = {"index.html": b"new", "games/index.js": b"rules", "ort/lib/new.js": b"new"}
    write_folder(folder, new)
    found = everything(folder)
    assert {name: found[name] for name in new} == new
    assert found.keys() == {*new, LIST, "CNAME"}
    write_folder(folder, {"index.html": b"only"})
    assert sorted(path.name for path in folder.iterdir()) == sorted(["CNAME", "index.html", LIST])


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ({"mine.txt": "mine"}, "holds something that is not an earlier page"),
        ({LIST: "{}"}, "holds something that is not an earlier page"),
        ({LIST: '{"rmc_rl_page": 1, "files": {"../mine.txt": "x"}}'}, "holds something that is not an earlier page"),
        ({LIST: '{"rmc_rl_page": 1, "files": {}}', "index.html": "mine"}, "index.html is not of the page"),
        ({LIST: '{"rmc_rl_page": 1, "files": {"index.html": "x"}}', "index.html": "mine"}, "index.html was changed"),
        ({LIST: '{"rmc_rl_page": 1, "files": {"old.js": "x"}}', "old.js": "mine"}, "old.js was changed"),
    ],
)
def test_what_is_not_ours_is_refused_and_stays(tmp_path: Path, there: dict[str, str], message: str) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    for name, text in there.items():
        (folder / name).write_text(text)
    before = everything(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        write_folder(folder, FILES)
    assert "name another folder" in str(caught.value)
    assert everything(tmp_path) == before


def test_an_interrupted_writing_is_finished_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    write_folder(folder, FILES)
    (folder / "index.html").write_bytes(b"new")
    write_folder(folder, {**FILES, "index.html": b"new"})
    assert everything(folder)["index.html"] == b"new"


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "page", tmp_path / "victim"
    write_folder(folder, FILES)
    victim.mkdir()
    (victim / "index.js").write_bytes(FILES["games/index.js"])
    (folder / "games" / "index.js").unlink()
    (folder / "games").rmdir()
    (folder / "games").symlink_to(victim)
    with pytest.raises(UserError, match="symbolic link"):
        write_folder(folder, {**FILES, "games/index.js": b"new"})
    assert (victim / "index.js").read_bytes() == FILES["games/index.js"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("mine")
    with pytest.raises(UserError, match="is a file: a page is a folder"):
        write_folder(tmp_path / "page", FILES)


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(UserError, match="/dev/null/page cannot be written"):
        write_folder(Path("/dev/null/page"), FILES)


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        write_folder(tmp_path / "page", FILES)
    assert list(tmp_path.iterdir()) == []
