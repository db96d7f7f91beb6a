"""Where texts come from: a folder of token files, one text file, Hugging Face's hub, or Python's own help.

Each source gives a text file for each part of a corpus (training, validation, test), which
:mod:`rmc_rl.supervised.language.corpus` reads line by line.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pydoc_data.topics import topics

from rmc_rl.errors import UserError, one_line

PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
"""The parts of a corpus, with the words by which a file's name says which one it is."""

SUFFIXES = (".tokens", ".txt", ".raw")
HUB = "hf:"
DIVIDING = ".dividing-"
"""What a folder's name begins with that holds the parts of one text."""
BLOCK_LINES, BLOCKS = 100, 20
"""One text is dealt out in blocks of lines: of each so many, the last is the test, the one before it the validation."""

HOW = (
    "data takes a folder with a file for each part (wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens, or "
    "train.txt, valid.txt, test.txt), one text file, which is divided, or hf:<name>:<configuration> from Hugging Face"
)


@contextmanager
def text_files(data: str | None, kept: Path) -> Iterator[dict[str, Path]]:
    """A file for each of `PARTS`, as long as the context lasts.

    Args:
        data: see `HOW`; None: the topics of Python's own help, which every installation has.
        kept: a folder for texts that a network has brought, and for the parts of one text while they are needed.

    Raises:
        UserError: there is no such text, or a part is missing or there twice.
    """
    if data is not None and data.startswith(HUB):
        yield _from_hub(data.removeprefix(HUB), kept)
        return
    path = None if data is None else Path(data).expanduser()
    if path is not None and path.is_dir():
        yield _in_folder(path)
        return
    if path is not None and not path.is_file():
        raise UserError(f"task.data={data}: there is no such file or folder; {HOW}")
    with ExitStack() as stack:
        try:
            kept.mkdir(parents=True, exist_ok=True)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=DIVIDING, dir=kept)))
            if path is None:
                path = folder / "help.txt"
                path.write_text("\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
            files = _divided(path, folder)
        except OSError as error:
            raise UserError(
                f"task.data={data or 'null'} cannot be divided in {kept} ({error.strerror or error}): make room, or "
                "name another folder with task.cache=…"
            ) from error
        yield files


def decoded(line: bytes, path: Path, number: int) -> str:
    """A text's line as characters.

    Args:
        line: the bytes.
        path: of the text.
        number: of the line, from 1; before the first a byte order mark may stand.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number}: byte {line[error.start]:#04x} is no UTF-8: write it anew in UTF-8 "
            "(iconv -f latin1 -t utf-8, if latin1 is what it is)"
        ) from None


def _in_folder(folder: Path) -> dict[str, Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise UserError(f"task.data={folder} cannot be read: {error.strerror or error}") from error
    found: dict[str, Path] = {}
    for part, words in PARTS.items():
        fitting = [path for path in files if set(re.split(r"[^a-z]+", path.stem.lower())) & set(words)]
        if len(fitting) != 1:
            names = ", ".join(path.name for path in fitting or files) or "no text at all"
            what = "more than one file" if fitting else "no file"
            raise UserError(f"task.data={folder} has {what} for the part '{part}' (there is {names}); {HOW}")
        found[part] = fitting[0]
    return found


def _divided(path: Path, folder: Path) -> dict[str, Path]:
    files = {part: folder / f"{part}.part" for part in PARTS}
    to_end = {BLOCKS - 1: "test", BLOCKS - 2: "valid"}
    with ExitStack() as stack:
        text = stack.enter_context(path.open("rb"))
        outputs = {part: stack.enter_context(file.open("wb")) for part, file in files.items()}
        for number, line in enumerate(text):
            decoded(line, path, number + 1)  # while it is known which line of which file it is
            outputs[to_end.get(number // BLOCK_LINES % BLOCKS, "train")].write(line)
    if not files["test"].stat().st_size:
        raise UserError(
            f"task.data={path} is too short to be divided into {', '.join(PARTS)}: more than "
            f"{BLOCK_LINES * (BLOCKS - 1):,} lines needed; or a folder with a file for each part"
        )
    return files


def _from_hub(name: str, kept: Path) -> dict[str, Path]:
    """The texts of a dataset with a column ``text``, brought once."""
    folder = kept / f"hub-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    files = {part: folder / f"{part}.txt" for part in PARTS}
    if all(file.is_file() for file in files.values()):
        return files
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError('task.data=hf:… needs Hugging Face\'s datasets: pip install "rmc-rl[text]"') from error
    place, _, configuration = name.partition(":")
    try:
        dataset = load_dataset(place, configuration or None)
        splits: Mapping[str, str] = {part: next(w for w in words if w in dataset) for part, words in PARTS.items()}
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as unfinished:
            for part, split in splits.items():
                with (Path(unfinished) / f"{part}.txt").open("w", encoding="utf-8") as text:
                    text.writelines(row["text"].rstrip("\n") + "\n" for row in dataset[split])
            folder.mkdir(exist_ok=True)
            for part, file in files.items():
                (Path(unfinished) / f"{part}.txt").replace(file)
    except StopIteration:
        raise UserError(
            f"task.data=hf:{name}: it has the splits {', '.join(dataset)}; one of each of train, "
            "validation and test needed"
        ) from None
    except Exception as error:  # the network, the hub, an unknown name, a full disk: the library's errors are many
        raise UserError(f"task.data=hf:{name} could not be brought ({one_line(error)}); {HOW}") from error
    return files
