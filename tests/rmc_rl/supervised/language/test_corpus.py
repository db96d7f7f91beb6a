from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rmc_rl.errors import UserError
from rmc_rl.supervised.language import corpus as module
from rmc_rl.supervised.language.corpus import END, UNKNOWN, read_corpus
from tests.rmc_rl.supervised.language.texts import write_texts


def test_numbers_are_ranks_and_lines_end(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "wiki.train.tokens").write_text("b a b\n\n b  c a b \n")
    (tmp_path / "wiki.valid.tokens").write_text("c d\n")
    corpus = read_corpus(str(tmp_path))
    assert corpus.vocabulary == ["b", END, "a", "c", UNKNOWN], "by frequency, then by the alphabet"
    assert corpus.texts["train"].tolist() == [0, 2, 0, 1, 1, 0, 3, 2, 0, 1], "an empty line ends, too"
    assert corpus.texts["valid"].tolist() == [3, 4, 1], "a word that training never saw is unknown"
    assert corpus.end == 1
    assert isinstance(corpus.texts["train"], np.memmap)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_the_text_comes_back_word_for_word(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    write_texts(tmp_path / "texts", 30)
    corpus = read_corpus(str(tmp_path / "texts"), cache=str(tmp_path / "cache"))
    for part in ("train", "test"):
        words = [corpus.vocabulary[number] for number in corpus.texts[part]]
        lines = (tmp_path / "texts" / f"wiki.{part}.tokens").read_text().splitlines()
        assert words == [word for line in lines for word in (*line.split(), END)]


def test_a_smaller_vocabulary_counts_the_rest_as_unknown(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "wiki.train.tokens").write_text("a a a b b c d e <unk>\n")
    corpus = read_corpus(str(tmp_path), max_words=4)
    assert corpus.vocabulary == [UNKNOWN, "a", "b", END]
    assert corpus.texts["train"].tolist() == [1, 1, 1, 2, 2, 0, 0, 0, 0, 3]


def test_rare_words_of_the_training_text_are_unknown(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "wiki.train.tokens").write_text("a a a b b b c c d\n")
    corpus = read_corpus(str(tmp_path), min_count=3)
    assert corpus.vocabulary == [UNKNOWN, "a", "b", END]
    assert corpus.texts["train"].tolist() == [1, 1, 1, 2, 2, 2, 0, 0, 0, 3]
    assert read_corpus(str(tmp_path), min_count=2).vocabulary == ["a", "b", "c", END, UNKNOWN]
    assert read_corpus(str(tmp_path), min_count=2, max_words=4).vocabulary == [UNKNOWN, "a", "b", END]
    with pytest.raises(UserError, match=r"no word of the part 'train' occurs task\.min_count=9 times"):
        read_corpus(str(tmp_path), min_count=9)


def test_what_was_killed_long_ago_is_swept_away(tmp_path: Path) -> None:
    texts, cache = tmp_path / "book.txt", tmp_path / "cache"
    texts.write_text("a word\n" * 3000)
    old = [cache / name for name in (".writing-x", ".damaged-y", ".dividing-z")]
    new = cache / ".writing-now"
    for folder in (*old, new):
        folder.mkdir(parents=True)
        (folder / "train.part").write_text("half a te")
    for folder in old:
        os.utime(folder, (1e9, 1e9))
    read_corpus(str(texts), cache=str(cache))
    assert sorted(path.name for path in cache.iterdir() if path.name.startswith(".")) == [".writing-now"]


def test_words_and_punctuation_apart(tmp_path: Path) -> None:
    write_texts(tmp_path)
    (tmp_path / "wiki.train.tokens").write_text("The dog's house, (old) was well-kept.\r\nÄhnlich: 3.5!\n")
    corpus = read_corpus(str(tmp_path), "words")
    words = [corpus.vocabulary[number] for number in corpus.texts["train"]]
    first = ["the", "dog's", "house", ",", "(", "old", ")", "was", "well-kept", ".", END]
    assert words == [*first, "ähnlich", ":", "3", ".", "5", "!", END]


def test_it_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, cache = write_texts(tmp_path / "texts"), str(tmp_path / "cache")
    first = read_corpus(str(texts), cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", None)
        assert read_corpus(str(texts), cache=cache).vocabulary == first.vocabulary
    (texts / "wiki.train.tokens").write_text("another text\n")
    second = read_corpus(str(texts), cache=cache)
    assert second.fingerprint != first.fingerprint
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert read_corpus(str(texts), "words", cache=cache).vocabulary == second.vocabulary
    assert len(list((tmp_path / "cache").iterdir())) == 3, "words are found otherwise"


@pytest.mark.parametrize("damage", ["train", "vocabulary.json", "corpus.json"])
@pytest.mark.parametrize("how", ["cut", "altered", "gone", "a folder"])
def test_a_damaged_cache_is_made_anew(damage: str, how: str, tmp_path: Path) -> None:
    texts, cache = write_texts(tmp_path / "texts"), tmp_path / "cache"
    first = read_corpus(str(texts), cache=str(cache))
    whole = {part: text.tolist() for part, text in first.texts.items()}
    (folder,) = cache.iterdir()
    if how in ("gone", "a folder"):
        (folder / damage).unlink()
        if how == "a folder":
            (folder / damage).mkdir()
    elif how == "altered":
        with (folder / damage).open("r+b") as file:  # as after a power cut: the size is right
            file.write(bytes(8))
    else:
        os.truncate(folder / damage, (folder / damage).stat().st_size // 2)
    again = read_corpus(str(texts), cache=str(cache))
    assert {part: text.tolist() for part, text in again.texts.items()} == whole
    assert again.vocabulary == first.vocabulary


def test_a_file_where_the_corpus_should_be_makes_way(tmp_path: Path) -> None:
    texts, cache = write_texts(tmp_path / "texts"), tmp_path / "cache"
    first = read_corpus(str(texts), cache=str(cache))
    (folder,) = cache.iterdir()
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert read_corpus(str(texts), cache=str(cache)).vocabulary == first.vocabulary
    assert list(cache.iterdir()) == [folder]


def test_another_process_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, cache, rename = str(write_texts(tmp_path / "texts")), tmp_path / "cache", Path.rename
    places = list[os.stat_result]()

    def late(path: Path, target: Path) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            read_corpus(texts, cache=str(cache))  # the other process
        places.append(target.stat())
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert read_corpus(texts, cache=str(cache)).texts["train"].size
    (folder,) = cache.iterdir()
    assert [folder.stat().st_ino] == [place.st_ino for place in places], "what the other has put there stays"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 au lait\n", r"line 1: byte 0xe9 is no UTF-8: .*iconv -f latin1"),
        (b"", "holds no word: a text to train on needed"),
        (b"\n\n \n", "holds no word"),
    ],
)
def test_texts_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    write_texts(tmp_path / "texts")
    (tmp_path / "texts" / "wiki.train.tokens").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_corpus(str(tmp_path / "texts"), cache=str(tmp_path / "cache"))
    assert not list((tmp_path).glob("cache/*")), "nothing is left half written"


def test_an_empty_part_is_named(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts")
    (tmp_path / "texts" / "wiki.test.tokens").write_text("")
    with pytest.raises(UserError, match=r"wiki\.test\.tokens is empty: a text for the part 'test' needed"):
        read_corpus(str(tmp_path / "texts"), cache=str(tmp_path / "cache"))
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"cannot be kept in .*cache .*task\.cache="):
        read_corpus(str(write_texts(tmp_path / "texts")), cache=str(tmp_path / "cache"))


def test_progress_is_shown_to_somebody_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda stderr: Console(file=screen, force_terminal=True))
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(module, "_CHUNK", 100)
    read_corpus(str(write_texts(tmp_path / "texts")), cache=str(tmp_path / "cache"))
    assert "counting words" in screen.getvalue()
