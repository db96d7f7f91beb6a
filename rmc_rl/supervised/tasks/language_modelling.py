"""Word-level language modelling (section 4.3, appendix A.4): after each word of a text, which one comes next?

In training, the text is cut into as many pieces as there are streams, and each update reads the next window of all of
them. The memory is carried from window to window, gradients are not (truncated backpropagation through time). In an
evaluation every word of the text is predicted once, its line ends among them, the first one from a line end; what is
left over where the pieces are not equally long is masked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rmc_rl.supervised.language.corpus import END, SPLITTERS, UNKNOWN, read_corpus
from rmc_rl.supervised.tasks.task import Batch, Stage, StreamTask, at_least, check_batch, register_task

SHORTEST_PIECE = 1000
"""Words at least that an evaluation carries the memory through, where the text has so many."""


@register_task("language_modelling")
class LanguageModelling(StreamTask):
    """Which word comes next?

    Args:
        data: the texts: a folder with a file for each of training, validation and test, one file, which is divided, or
            ``hf:<name>:<configuration>`` from Hugging Face; None: Python's own help.
        window: T, words of an update that each stream reads.
        tokenize: ``"spaces"``: words are what stands between them; ``"words"``: words and punctuation, in lower case.
        min_count: words that the training text has less often are read as unknown. Above 1 a model learns what an
            unknown word is; texts that come with ``<unk>`` have that done already.
        max_words: size of the vocabulary at most.
        cache: folder for what was counted; None: the user's.

    Raises:
        ValueError: a number below what is possible, or an unknown way to find words.
        UserError: the texts cannot be read.
    """

    symbols = True
    judged_by = "loss"

    def __init__(
        self,
        *,
        data: str | None = None,
        window: int = 100,
        tokenize: str = "spaces",
        min_count: int = 1,
        max_words: int | None = None,
        cache: str | None = None,
    ) -> None:
        at_least(1, window=window, min_count=min_count)
        if max_words is not None:
            at_least(len((END, UNKNOWN)) + 1, max_words=max_words)
        if tokenize not in SPLITTERS:
            raise ValueError(f"tokenize: {tokenize!r} given, one of {list(SPLITTERS)} needed")
        self.corpus = read_corpus(data, tokenize, min_count, max_words, cache)
        self.length = window
        self.input_size = self.num_classes = len(self.corpus.vocabulary)
        self._parts = {"train": "train", "evaluation": "valid"}

    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        """Windows from random places, each read with nothing before it."""
        check_batch(size, stage)
        words = self.corpus.texts[self._parts[stage]]
        length = min(self.length, len(words) - 1)
        if length < 1:
            raise ValueError(f"the text for {stage} has {len(words)} words, at least 2 needed")
        starts = torch.randint(len(words) - length, (size,), generator=generator, device=generator.device)
        return _windows(words, starts.cpu().numpy(), length, generator.device, begins=True)

    def window(self, streams: int, number: int, device: torch.device) -> Batch:
        """The next window of each piece of the training text; after the last one they begin anew."""
        words = self.corpus.texts["train"]
        piece = (len(words) - 1) // streams
        windows = piece // self.length
        if windows < 1:
            raise ValueError(
                f"{streams} streams with windows of {self.length} words need {streams * self.length + 1:,} words, the "
                f"training text has {len(words):,}: a smaller learner.batch_size or task.window"
            )
        place = number % windows
        starts = np.arange(streams) * piece + place * self.length
        return _windows(words, starts, self.length, device, begins=place == 0)

    def windows(self, streams: int, part: str, device: torch.device) -> Iterator[Batch]:
        """A whole text, from a line end before its first word to its last, in pieces of `SHORTEST_PIECE` at least."""
        return self.pieces(self.piece(streams, part), part, device)

    def piece(self, streams: int, part: str) -> int:
        """Words that each of so many streams reads of a text, the last one fewer."""
        words = len(self.corpus.texts[part])
        return max(-(-words // streams), min(SHORTEST_PIECE, words))

    def pieces(self, piece: int, part: str, device: torch.device) -> Iterator[Batch]:
        """The windows of a whole text that is cut into pieces of so many words, read side by side."""
        words = np.concatenate([[self.corpus.end], self.corpus.texts[part]])
        predicted = len(words) - 1
        streams = -(-predicted // piece)
        words = np.pad(words, (0, streams * piece - predicted), constant_values=self.corpus.end)
        for place in range(0, piece, self.length):
            length = min(self.length, piece - place)
            starts = np.arange(streams) * piece + place
            counts = starts + np.arange(length)[:, None] < predicted  # [T, B]
            yield _windows(words, starts, length, device, begins=place == 0, mask=counts)

    def question(self, batch: Batch, item: int) -> str:
        """The words that are read."""
        return self._text(batch.inputs[:, item])

    def answer(self, classes: Tensor, mask: Tensor) -> str:
        """The words that come next, one after each."""
        return self._text(classes[mask])

    def state_dict(self) -> dict[str, float]:
        """Which vocabulary it is: a model is of no use with another."""
        return {"words": self.num_classes, "vocabulary": self.corpus.fingerprint}

    @property
    def stream_marks(self) -> dict[str, int]:
        """The window, and the length and a checksum of the training text."""
        return {"window": self.length, "words": len(self.corpus.texts["train"]), "text": self.corpus.train_fingerprint}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Refuse what was learnt with another vocabulary.

        Raises:
            ValueError: the vocabulary is another one.
        """
        own = self.state_dict()
        if {name: int(value) for name, value in state.items()} != own:
            raise ValueError(
                f"the vocabulary of its texts was another one ({int(state.get('words', 0)):,} words, now these "
                f"{self.num_classes:,}): give the same texts with task.data=… (of task.data=null, the same Python) and "
                "the same task.tokenize, task.min_count and task.max_words"
            )

    def _text(self, numbers: Tensor) -> str:
        return " ".join(self.corpus.vocabulary[number] for number in numbers.tolist())


def _windows(
    words: np.ndarray,
    starts: np.ndarray,
    length: int,
    device: torch.device,
    *,
    begins: bool,
    mask: np.ndarray | None = None,
) -> Batch:
    """From each of these places so many words and, for each, the one after it."""
    rows = np.stack([words[start : start + length + 1] for start in starts.tolist()], axis=1).astype(np.int64)
    numbers = torch.from_numpy(rows).to(device)  # [T + 1, B]
    counts = torch.ones_like(numbers[1:], dtype=torch.bool) if mask is None else torch.from_numpy(mask).to(device)
    reset = torch.zeros_like(counts)
    reset[0] = begins
    return Batch(inputs=numbers[:-1], reset=reset, targets=numbers[1:], mask=counts)
