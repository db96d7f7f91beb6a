from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rmc_rl.supervised.tasks import language_modelling as module
from rmc_rl.supervised.tasks.language_modelling import LanguageModelling
from tests.rmc_rl.supervised.language.texts import write_texts

CPU = torch.device("cpu")


@pytest.fixture
def task(tmp_path: Path) -> LanguageModelling:
    return LanguageModelling(data=str(write_texts(tmp_path, 60)), window=7)


def test_streams_read_the_text_in_order(task: LanguageModelling) -> None:
    words = torch.from_numpy(np.array(task.corpus.texts["train"], np.int64))
    piece = (len(words) - 1) // 3
    count = piece // 7
    seen = [task.window(3, number, CPU) for number in range(count)]
    for stream in range(3):
        read = torch.cat([batch.inputs[:, stream] for batch in seen])
        asked = torch.cat([batch.targets[:, stream] for batch in seen])
        assert torch.equal(read, words[stream * piece :][: count * 7])
        assert torch.equal(asked, words[stream * piece + 1 :][: count * 7])
    begins = [batch.reset.any(dim=1).tolist() for batch in seen]
    assert begins == [[True] + [False] * 6] + [[False] * 7] * (count - 1)
    assert seen[0].reset[0].all()
    again = task.window(3, count, CPU)
    assert torch.equal(again.inputs, seen[0].inputs), "then the text begins anew"
    assert torch.equal(again.reset, seen[0].reset)
    assert all(batch.mask.all() for batch in seen)


@pytest.mark.parametrize("streams", [1, 3, 10, 1000])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_an_evaluation_asks_for_each_word_once(
    streams: int, part: str, task: LanguageModelling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_PIECE", 1)
    words = task.corpus.texts[part].tolist()
    batches = list(task.windows(streams, part, CPU))
    size = batches[0].reset.shape[1]
    assert size == -(-len(words) // max(-(-len(words) // streams), 1)) <= streams
    read: list[int] = []
    asked: list[int] = []
    for stream in range(size):
        for batch in batches:
            counts = batch.mask[:, stream]
            read += batch.inputs[counts, stream].tolist()
            asked += batch.targets[counts, stream].tolist()
    assert asked == words
    assert read == [task.corpus.end, *words[:-1]], "the first word follows a line end"
    assert batches[0].reset[0].all()
    assert sum(int(batch.reset.sum()) for batch in batches) == size


def test_the_memory_is_carried_far_however_many_streams_are_asked_for(
    task: LanguageModelling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_PIECE", 12)
    count = len(task.corpus.texts["test"])
    assert count > 3 * 12
    for streams in (1, 2, 5, 1000):
        piece = task.piece(streams, "test")
        assert piece >= 12
        assert sum(len(batch.reset) for batch in task.windows(streams, "test", CPU)) == piece
        assert next(task.windows(streams, "test", CPU)).reset.shape[1] == -(-count // piece) <= streams
    monkeypatch.setattr(module, "SHORTEST_PIECE", 1_000_000)
    assert task.piece(5, "test") == count, "no more than there is"


def test_windows_from_random_places(task: LanguageModelling) -> None:
    text = task.corpus.texts["valid"].tolist()
    batch = task.batch(50, torch.Generator().manual_seed(0), "evaluation")
    places = {tuple(text[start : start + 8]) for start in range(len(text) - 7)}
    rows = torch.cat([batch.inputs, batch.targets[-1:]]).t().tolist()
    assert {tuple(row) for row in rows} <= places
    assert len({tuple(row) for row in rows}) > 3
    assert len(task.question(batch, 0).split()) == len(task.answer(batch.targets[:, 0], batch.mask[:, 0]).split()) == 7


def test_a_text_shorter_than_a_window(tmp_path: Path) -> None:
    task = LanguageModelling(data=str(write_texts(tmp_path, 60)), window=500)
    with pytest.raises(ValueError, match=r"2 streams with windows of 500 words need 1,001 words, the training"):
        task.window(2, 0, CPU)
    assert task.batch(3, torch.Generator()).inputs.shape[0] < 500
    assert len(list(task.windows(2, "test", CPU))) == 1


def test_another_vocabulary_is_refused(task: LanguageModelling, tmp_path: Path) -> None:
    task.load_state_dict(task.state_dict())
    other = LanguageModelling(data=str(write_texts(tmp_path / "more", 60)), max_words=9)
    with pytest.raises(ValueError, match=rf"\({task.num_classes} words, now these 9\): give the same texts with"):
        other.load_state_dict(task.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: 0 given, at least 1 needed"),
        ({"max_words": 2}, "max_words: 2 given, at least 3 needed"),
        ({"tokenize": "letters"}, r"tokenize: 'letters' given, one of \['spaces', 'words'\] needed"),
    ],
)
def test_impossible_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageModelling(**options)  # type: ignore[arg-type]
