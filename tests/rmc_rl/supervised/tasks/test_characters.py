from __future__ import annotations

import pytest
import torch

from rmc_rl.supervised.tasks.characters import NUMBERS, PAD, SYMBOLS, random_digits, text, to_batch
from rmc_rl.supervised.tasks.task import NOTHING


def test_the_vocabulary_is_the_papers() -> None:
    specials, rest = SYMBOLS[:4], SYMBOLS[4:]
    assert len(SYMBOLS) == 45
    assert specials[3] == "|"
    assert " ".join(rest[1:]) == (
        "! ( ) * + - . / 0 1 2 3 4 5 6 7 8 9 : < = > [ ] a e else f for g i if l n o r range s x ~"
    )
    assert rest[0] == " "
    assert [NUMBERS[symbol] for symbol in SYMBOLS] == list(range(45))


def test_texts_end_together_and_answers_follow() -> None:
    """Of "a(b" and "(" the "b" is not shown and answers have two characters and one."""
    symbols = torch.tensor([[NUMBERS[c] for c in "a(x"], [NUMBERS[c] for c in "e(s"]])
    shown = torch.tensor([[True, True, False], [False, True, False]])
    answers = torch.tensor([[NUMBERS["1"], NUMBERS["2"], NUMBERS["3"]], [NUMBERS["4"], NUMBERS["5"], NUMBERS["6"]]])
    batch = to_batch(symbols, shown, 3, answers, torch.tensor([2, 1]), {})
    a, bracket = NUMBERS["a"], NUMBERS["("]
    nothing = [NOTHING] * 3
    assert batch.inputs.t().tolist() == [[PAD, a, bracket, *nothing], [PAD, PAD, bracket, *nothing]]
    assert batch.reset.t().tolist() == [[False, True, *[False] * 4], [False, False, True, *[False] * 3]]
    assert batch.targets.t().tolist() == [[NUMBERS["1"], NUMBERS["2"], PAD], [NUMBERS["4"], PAD, PAD]]
    assert batch.mask.t().tolist() == [[True, True, False], [True, False, False]]
    assert text(batch.inputs[:, 0]) == ".a("


@pytest.mark.parametrize("length", [1, 2])
def test_digits_are_uniform_over_numbers(length: int) -> None:
    digits = random_digits(9000, 2, 2, torch.Generator().manual_seed(0))
    assert digits.shape == (9000, 2, 2)
    numbers = digits[..., 0] if length == 1 else 10 * digits[..., 0] + digits[..., 1]
    counts = torch.bincount(numbers.flatten(), minlength=10**length)
    assert (counts[: 10 ** (length - 1)] == 0).all()
    possible = counts[10 ** (length - 1) :]
    expected = 18_000 / len(possible)
    assert (possible - expected).abs().max() < 5 * expected**0.5
