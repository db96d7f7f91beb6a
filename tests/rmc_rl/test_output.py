from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rmc_rl.errors import UserError
from rmc_rl.output import check_name, unfinished


def test_names_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    check_name("file", tmp_path / "new" / "plot.PNG", (".png", ".svg"))
    with pytest.raises(UserError, match=r"^file=plot: the name must end in \.png, \.svg or \.pdf$"):
        check_name("file", Path("plot"), (".png", ".svg", ".pdf"))
    with pytest.raises(UserError, match=r"^record=.*folder\.png is a folder: name a file in it$"):
        check_name("record", tmp_path / "folder.png", (".png", ".svg"))


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "page.html"
    with unfinished(target) as part:
        assert part.parent == target.parent
        assert part.suffix == ".html"
        part.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask, "others may read it, as any new file"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("before")

    def fail() -> None:
        with unfinished(target) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["file/page.html", "folder.html", "x" * 300 + ".html"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match=r"^file=.*\.html cannot be written: "), unfinished(tmp_path / name) as part:
        part.write_text("text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]
