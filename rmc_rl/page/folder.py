"""Writing a folder of files for a web server, and writing it anew, without touching what someone else put there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from rmc_rl.errors import UserError

LIST = "page.json"
"""The file that says which files are a page's, with the SHA-256 of each."""
KEY = "rmc_rl_page"
ELSEWHERE = "name another folder (file=…)"


def write_folder(folder: Path, files: Mapping[str, bytes]) -> int:
    """Write the files, by names relative to the folder, and a list of them; returns their size in bytes.

    A new folder appears complete or not at all. In the folder of an earlier page its files are replaced, those that
    are no longer needed are removed, and whatever else lies there stays.

    Raises:
        UserError: the folder holds something and no page, one of its page's files was changed since, a new file would
            replace somebody else's, or the place cannot be written.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    listed = json.dumps({KEY: 1, "files": digests}, indent=1).encode() + b"\n"
    complete = {**files, LIST: listed}
    try:
        earlier = earlier_page(folder)
        _refuse_what_is_not_ours(folder, earlier, complete)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            for name, data in complete.items():
                path = unfinished / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            unfinished.chmod(0o755)  # it was made for its owner alone
            if earlier:
                _move_over(unfinished, folder, [*files, LIST], [name for name in earlier if name not in complete])
            else:
                unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be written: {error.strerror or error}") from error
    return sum(map(len, complete.values()))


def earlier_page(folder: Path) -> dict[str, str]:
    """The files of the page that lies there, with their digests; none where there is nothing yet.

    Raises:
        UserError: the folder holds something and no page.
    """
    if not folder.exists() and not folder.is_symlink():
        return {}
    if not folder.is_dir():
        raise UserError(f"file={folder} is a file: a page is a folder; {ELSEWHERE}")
    if not any(folder.iterdir()):
        return {}
    try:
        record = json.loads((folder / LIST).read_bytes())
        earlier = {str(name): str(digest) for name, digest in record["files"].items()}
        ours = KEY in record and all(map(_stays_within, earlier))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise UserError(f"the folder {folder} holds something that is not an earlier page: {ELSEWHERE}")
    return {**earlier, LIST: ""}


def _stays_within(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name != "."


def _refuse_what_is_not_ours(folder: Path, earlier: Mapping[str, str], files: Mapping[str, bytes]) -> None:
    for name in {**earlier, **files}:
        path = folder / name
        parents = [parent for parent in path.parents if folder in parent.parents]
        if path.is_symlink() or any(parent.is_symlink() for parent in parents):
            raise UserError(f"{path} is, or lies behind, a symbolic link, which no page wrote: {ELSEWHERE}")
        if not path.exists() or name == LIST:
            continue
        if name not in earlier:
            raise UserError(f"{path} is not of the page that was written there: move it away or {ELSEWHERE}")
        now = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        wanted = hashlib.sha256(files[name]).hexdigest() if name in files else ""
        if now not in (earlier[name], wanted) or not now:  # the second after an interruption
            raise UserError(f"{path} was changed since the page was written: move it away or {ELSEWHERE}")


def _move_over(unfinished: Path, folder: Path, names: list[str], left_over: list[str]) -> None:
    """File by file, the list last: whatever happens in between, each is an old or a new one."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / name).replace(folder / name)
    for name in left_over:
        (folder / name).unlink(missing_ok=True)
        for parent in (folder / name).parents:
            if parent == folder or any(parent.iterdir()):
                break
            os.rmdir(parent)
