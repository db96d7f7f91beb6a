"""A corpus as the numbers of its words: counted and written once, then mapped into memory wherever it is needed.

A corpus has three parts, for training, validation and test. Its vocabulary is that of the training text, the most
frequent word first, so that a word's number is its rank (which adaptive softmax needs). As word-level practice has it,
each line ends with the word ``<eos>``, an empty one too, and a word that is not in the vocabulary is read as ``<unk>``.

What was counted is kept below the user's cache in a folder named by the digest of all texts and of how they were read:
another text never meets an old vocabulary, and processes that need the same corpus map the same pages.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rmc_rl.errors import UserError
from rmc_rl.paths import cache_dir
from rmc_rl.supervised.language.sources import DIVIDING, PARTS, decoded, text_files

END, UNKNOWN = "<eos>", "<unk>"

SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "spaces": str.split,
    "words": lambda line: re.findall(r"\w+(?:['\u2019-]\w+)*|[^\w\s]", line.lower()),
}
"""``spaces``: what stands between them is a word, as corpora come that are made for this. ``words``: words and marks of
punctuation, in lower case, of any text."""

FORMAT = 1
_NUMBER = np.dtype("<i4")
_CHUNK = 1 << 20
QUIET_SECONDS = 1.0
LEFT_SECONDS = 24 * 3600
"""What is older and unfinished belongs to nobody any more."""


@dataclass(frozen=True)
class Corpus:
    """Three texts as numbers.

    Attributes:
        vocabulary: by number, the most frequent of the training text first.
        texts: int32 ``[N]`` for each of `PARTS`, each line closed by the number of `END`; mapped, read-only.
        fingerprint: of the vocabulary, in 32 bits.
        train_fingerprint: of the training text.
    """

    vocabulary: list[str]
    texts: Mapping[str, np.ndarray]
    fingerprint: int
    train_fingerprint: int

    @property
    def end(self) -> int:
        """The number of `END`."""
        return self.vocabulary.index(END)


def read_corpus(
    data: str | None = None,
    tokenize: str = "spaces",
    min_count: int = 1,
    max_words: int | None = None,
    cache: str | None = None,
) -> Corpus:
    """The corpus of some texts.

    Args:
        data: where they are, see `rmc_rl.supervised.language.sources.text_files`.
        tokenize: one of `SPLITTERS`.
        min_count: words that the training text has less often are unknown, there too.
        max_words: so many words the vocabulary has at most, the most frequent, `END` and `UNKNOWN` among them; None:
            all of them.
        cache: a folder for what was counted; None: the user's.

    Raises:
        UserError: no such text, an empty one, one that is not UTF-8, or a cache that cannot be written.
    """
    place = cache_dir() / "corpora" if cache is None else Path(cache).expanduser()
    with text_files(data, place) as files:
        folder = place / _digest(files, tokenize, min_count, max_words)
        corpus = _mapped(folder)
        if corpus is None:
            sizes = {part: path.stat().st_size for part, path in files.items()}
            with _progress(sum(sizes.values()) + sizes["train"]) as step:  # which is read twice
                _write(files, SPLITTERS[tokenize], min_count, max_words, folder, step)
            corpus = _mapped(folder)
    if corpus is None:
        raise UserError(f"the corpus just written to {folder} cannot be read: is the disk whole?")
    return corpus


def _digest(files: Mapping[str, Path], *options: object) -> str:
    digest = hashlib.blake2b(" ".join(map(str, (FORMAT, *options))).encode(), digest_size=16)
    for part, path in files.items():
        with _readable(path), path.open("rb") as file:
            digest.update(f" {part} ".encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _write(
    files: Mapping[str, Path],
    splitter: Callable[[str], list[str]],
    min_count: int,
    max_words: int | None,
    folder: Path,
    step: Callable[[int], None],
) -> None:
    """Count the words and write their numbers; all or nothing."""
    counts: Counter[str] = Counter()
    for line in _lines(files["train"], step):
        counts.update(splitter(line))
        counts[END] += 1
    if counts.total() == counts[END]:
        raise UserError("task.data: the part 'train' holds no word: a text to train on needed")

    def by_rank(words: Iterable[str]) -> list[str]:
        return sorted(words, key=lambda word: (-counts[word], word))

    always = (END, UNKNOWN)
    kept = by_rank(word for word, count in counts.items() if word not in always and count >= min_count)
    if not kept:
        raise UserError(
            f"task.data: no word of the part 'train' occurs task.min_count={min_count} times, all would be {UNKNOWN}: "
            "a smaller task.min_count, or a longer text"
        )
    kept = kept[: None if max_words is None else max_words - len(always)]
    counts[UNKNOWN] = counts.total() - counts[END] - sum(counts[word] for word in kept)
    ranked = by_rank([*kept, *always])
    numbers = {word: number for number, word in enumerate(ranked)}
    end, unknown = numbers[END], numbers[UNKNOWN]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        unfinished = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            sizes = {}
            for part, path in files.items():
                sizes[part], waiting = 0, list[int]()
                with (unfinished / part).open("wb") as output:
                    for line in _lines(path, step):
                        waiting += [numbers.get(word, unknown) for word in splitter(line)]
                        waiting.append(end)
                        if len(waiting) >= _CHUNK:
                            sizes[part] += len(waiting)
                            output.write(np.array(waiting, _NUMBER).tobytes())
                            waiting.clear()
                    sizes[part] += len(waiting)
                    output.write(np.array(waiting, _NUMBER).tobytes())
                if not sizes[part]:
                    raise UserError(f"{path} is empty: a text for the part '{part}' needed")
            words = json.dumps(ranked)
            checks = {part: zlib.crc32(_numbers(unfinished, part).data) for part in files}
            record = {"format": FORMAT, "checks": checks, "vocabulary": zlib.crc32(words.encode())}
            (unfinished / "vocabulary.json").write_text(words)
            (unfinished / "corpus.json").write_text(json.dumps(record))
            unfinished.chmod(0o755)
            _put(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"the corpus cannot be kept in {folder.parent} ({error.strerror or error}): make room, or name another "
            "folder with task.cache=…"
        ) from error


def _sweep(place: Path) -> None:
    """Remove what processes have left that were killed long ago."""
    for prefix in (".writing-", ".damaged-", DIVIDING):
        for left in place.glob(f"{prefix}*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)


def _put(unfinished: Path, folder: Path) -> None:
    """Give a complete corpus its name, unless another process was faster; a damaged one makes way."""
    while True:
        try:
            unfinished.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        if _mapped(folder) is not None:
            return
        aside = tempfile.TemporaryDirectory(prefix=".damaged-", dir=folder.parent)
        with aside, suppress(FileNotFoundError):  # another process has done it
            folder.rename(Path(aside.name) / "corpus")


def _mapped(folder: Path) -> Corpus | None:
    """What was written there; None where it is not there or damaged."""
    try:
        record = json.loads((folder / "corpus.json").read_text())
        words = (folder / "vocabulary.json").read_text()
        fingerprint = zlib.crc32(words.encode())
        texts = {part: _numbers(folder, part) for part in PARTS}
        whole = fingerprint == record["vocabulary"] and all(
            zlib.crc32(texts[part].data) == record["checks"][part] for part in PARTS
        )
        return Corpus(json.loads(words), texts, fingerprint, record["checks"]["train"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _numbers(folder: Path, part: str) -> np.ndarray:
    return np.memmap(folder / part, _NUMBER, mode="r")


def _lines(path: Path, step: Callable[[int], None]) -> Iterator[str]:
    """The lines of a text, telling how many bytes were read."""
    with _readable(path), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield decoded(line, path, number)
            step(len(line))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What reading a file raises, as one message."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where somebody watches and it takes its time; what it yields is told the bytes read."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("counting words", total=total)
    began, read = time.monotonic(), 0

    def step(size: int) -> None:
        nonlocal read
        read += size
        if read >= _CHUNK:
            bar.update(task, advance=read)
            read = 0
            if not bar.live.is_started and time.monotonic() - began > QUIET_SECONDS:
                bar.start()

    try:
        yield step
    finally:
        bar.stop()
