"""Texts of characters as batches for an encoder and a decoder.

The vocabulary of 45 symbols is the released generator's; numbers and programs are read character by character. A text
ends at the last row of the encoder. On the rows after it nothing is shown, and there the answer is due, one character a
row, from the first of them on; predictions are not fed back (appendix A.2). There are as many rows as the longest text
and the longest answer need; the released generator pads its batches further, which changes no number of a model.
"""

from __future__ import annotations

from itertools import takewhile

import torch
from torch import Tensor

from rmc_rl.supervised.tasks.curriculum import Curriculum
from rmc_rl.supervised.tasks.task import NOTHING, Batch, Task

_SPECIAL = ("<unknown>", "<null>", "<word-eos>", "|")
_CHARACTERS = (" ", "!", *"()*+-./0123456789:<=>[]", "a", "e", "else", "f", "for", "g", "i", "if", *"lnorsx~")
SYMBOLS = (*_SPECIAL, *sorted({*_CHARACTERS, "range"}))
"""By number. The keywords among them are not used: programs are read by character."""

NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}
PAD = NUMBERS["."]
ZERO = NUMBERS["0"]


class CharacterTask(Task):
    """A task whose questions and answers are texts.

    Args:
        curriculum: how long and how nested its questions are.
    """

    symbols = True
    decodes = True

    def __init__(self, curriculum: Curriculum) -> None:
        self.input_size = self.num_classes = len(SYMBOLS)
        self.curriculum = curriculum

    def follow(self, loss: Tensor) -> None:
        """To the curriculum."""
        self.curriculum.follow(loss)

    def state_dict(self) -> dict[str, float]:
        """The curriculum's."""
        return self.curriculum.state_dict()

    def load_state_dict(self, state: dict[str, float]) -> None:
        """To the curriculum."""
        self.curriculum.load_state_dict(state)

    def question(self, batch: Batch, item: int) -> str:
        """The text that is shown."""
        shown = batch.inputs[: len(batch.inputs) - batch.num_answers, item]
        return text(shown).lstrip(SYMBOLS[PAD])

    def answer(self, classes: Tensor, mask: Tensor) -> str:
        """The characters that count."""
        return text(classes[mask])


def text(symbols: Tensor) -> str:
    """Symbols ``[T]`` for people, up to the first row where nothing is shown."""
    return "".join(SYMBOLS[number] for number in takewhile(lambda number: number != NOTHING, symbols.tolist()))


def random_digits(size: int, numbers: int, length: int, generator: torch.Generator) -> Tensor:
    """Digits ``[size, numbers, length]``, the first of each number not 0.

    The first l digits of each are uniform over all numbers of l digits, for every l.
    """
    shape = (size, numbers, length)
    digits = torch.randint(10, shape, generator=generator, device=generator.device)
    digits[..., 0] = torch.randint(1, 10, shape[:2], generator=generator, device=generator.device)
    return digits


def to_batch(
    symbols: Tensor, shown: Tensor, width: int, answers: Tensor, lengths: Tensor, details: dict[str, Tensor]
) -> Batch:
    """Close the gaps of texts and put answers behind them.

    Args:
        symbols: ``[B, S]``.
        shown: bool ``[B, S]``, at least one in each row: which of them make the text, in their order.
        width: rows for the text; no text may be longer.
        answers: ``[B, A]`` symbols.
        lengths: ``[B]``, how many of them count.
        details: of the batch.
    """
    size, num_answers = answers.shape
    behind = shown.flip(1).cumsum(1).flip(1)  # of the symbols shown, how many come from here on
    row = torch.where(shown, width - behind, width)  # the others all go to one more row, which is cut off
    texts = torch.full((size, width + 1), PAD, device=symbols.device).scatter_(1, row, symbols)[:, :width]
    nothing = texts.new_full((size, num_answers), NOTHING)
    rows = torch.arange(width + num_answers, device=symbols.device)
    counts = torch.arange(num_answers, device=symbols.device) < lengths.unsqueeze(1)
    return Batch(
        inputs=torch.cat([texts, nothing], dim=1).t().contiguous(),  # [T, B]
        reset=rows.unsqueeze(1) == width - behind[:, 0],
        targets=torch.where(counts, answers, PAD).t().contiguous(),  # [A, B]
        mask=counts.t().contiguous(),
        details=details,
    )
