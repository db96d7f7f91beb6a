"""Program evaluation (section 5.2, appendix A.2): a short program is read character by character, its result written.

A program of nesting N is an operation whose first operand is a program of nesting N - 1 in parentheses; all other
operands, and the first of the innermost operation, are literals of one length, drawn anew::

    A+B   A-B   A*B          arithmetic
    AifB>CelseD              A if the condition holds, otherwise D; or with <
    x=Afor[k]x+=B            A + k B, with k in 1 .. 9

    (53830+30981)+39241                                 124052
    (x=34100for[3]x+=34823)if90317>96069else44086       44086

The result is taken modulo 10^(l + 1) for literals of l digits, so that it has no more than l + 1 and is never negative.
Arithmetic commutes with that, and comparisons see literals only: results may be kept small at every level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rmc_rl.supervised.tasks.characters import NUMBERS, SYMBOLS, ZERO, CharacterTask, random_digits, to_batch
from rmc_rl.supervised.tasks.curriculum import Curriculum
from rmc_rl.supervised.tasks.task import Batch, Stage, check_batch, register_task

OPERATIONS = {
    "add": ("", "+B"),
    "subtract": ("", "-B"),
    "multiply": ("", "*B"),
    "if": ("", "ifB?CelseD"),
    "for": ("x=", "for[k]x+=B"),
}
"""What stands before and after the first operand. B, C and D are literals, k a digit, ? the sign of a comparison."""

PROGRAMS = {
    "addition": ("add",),
    "control": ("if", "for"),
    "full": ("add", "subtract", "multiply", "if", "for"),
    "algebra": ("add", "subtract", "multiply"),
    "alg_control": ("add", "subtract", "if"),
}
"""The operations of each kind of program."""

LITERALS = "BCD"

# The characters of an operation are picked from one row: the vocabulary, k, the sign, and the digits of B, C and D.
_PICKS = {**NUMBERS, "k": len(SYMBOLS), "?": len(SYMBOLS) + 1}
_FIRST_DIGIT = len(SYMBOLS) + 2
_NO_DIGIT, _NEVER = -1, 2**30


@dataclass(frozen=True)
class Parts:
    """What B programs of up to N levels are made of, the innermost level first. Levels beyond a nesting are not used.

    Attributes:
        lengths: ``[B]``, digits of each literal.
        nestings: ``[B]``.
        first: digits of the first operand of the innermost level, ``[B, L]``; only as many as ``lengths`` says count.
        others: of the operands B, C and D, ``[B, N, 3, L]``.
        operations: which of the task's, ``[B, N]``.
        counts: k, ``[B, N]``.
        greater: bool ``[B, N]``, whether a comparison is > or <.
    """

    lengths: Tensor
    nestings: Tensor
    first: Tensor
    others: Tensor
    operations: Tensor
    counts: Tensor
    greater: Tensor


@register_task("programs")
class Programs(CharacterTask):
    """Write the result of a program. A batch's details are ``length`` and ``nesting``, each ``[B]``.

    Args:
        program: ``"addition"``, ``"control"``, ``"full"``, ``"algebra"`` or ``"alg_control"``.
        length: digits of a literal at most; results are computed with 64 bits, which sets a limit.
        nesting: operations within one another at most.
        curriculum: how many of both in training, see :class:`~rmc_rl.supervised.tasks.curriculum.Curriculum`.
        patience: the curriculum's.

    Raises:
        ValueError: an unknown program or curriculum, a number below 1 or a length beyond the limit.
    """

    def __init__(
        self, *, program: str, length: int = 5, nesting: int = 2, curriculum: str = "mix", patience: int = 1000
    ) -> None:
        if program not in PROGRAMS:
            raise ValueError(f"program: {program!r} given, one of {list(PROGRAMS)} needed")
        super().__init__(Curriculum(curriculum, length, nesting, patience))
        self.operations = PROGRAMS[program]
        # 10^(l + 1) times 10^l, or twice 10^(l + 1), must be below 2^63.
        longest = 8 if "multiply" in self.operations else 17
        if length > longest:
            raise ValueError(f"length: {length} given, at most {longest} possible with program {program!r}")
        self.length = length
        self.nesting = nesting
        texts = [OPERATIONS[name] for name in self.operations]
        before, after = zip(*texts, strict=True)
        self._layouts = {torch.device("cpu"): [_layout(before, length), _layout(after, length)]}
        widest = max(_width(one, length) + _width(other, length) for one, other in texts)
        self.width = length + nesting * widest + 2 * (nesting - 1)
        """Characters of the longest program."""

    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        """New programs."""
        check_batch(size, stage)
        device, levels = generator.device, (size, self.nesting)  # the innermost level first
        lengths, nestings = self.curriculum.draw(size, generator, stage)
        digits = random_digits(size, 1 + self.nesting * len(LITERALS), self.length, generator)
        parts = Parts(
            lengths=lengths,
            nestings=nestings,
            first=digits[:, 0],
            others=digits[:, 1:].unflatten(1, (self.nesting, -1)),
            operations=torch.randint(len(self.operations), levels, generator=generator, device=device),
            counts=torch.randint(1, 10, levels, generator=generator, device=device),
            greater=torch.randint(2, levels, generator=generator, device=device).bool(),
        )
        return self.pose(parts)

    def pose(self, parts: Parts) -> Batch:
        """The programs that are made of these parts, and their results."""
        level = torch.arange(self.nesting, device=parts.nestings.device)
        used = level < parts.nestings.unsqueeze(1)  # [B, N]
        answers, num_digits = _decimal(self._results(parts, used), self.length + 1)
        symbols, shown = self._texts(parts, used)
        details = {"length": parts.lengths, "nesting": parts.nestings}
        return to_batch(symbols, shown, self.width, answers + ZERO, num_digits, details)

    def _results(self, parts: Parts, used: Tensor) -> Tensor:
        """``[B]``."""
        literals = _values(parts.others, parts.lengths)  # [B, N, 3]
        result, modulus = _values(parts.first, parts.lengths), 10 ** (parts.lengths + 1)
        for level in range(self.nesting):
            b, c, d = literals[:, level].unbind(1)
            holds = torch.where(parts.greater[:, level], b > c, b < c)
            results = {
                "add": result + b,
                "subtract": result - b,
                "multiply": result * b,
                "if": torch.where(holds, result, d),
                "for": result + parts.counts[:, level] * b,
            }
            possible = torch.stack([results[name] for name in self.operations], dim=1)
            chosen = possible.gather(1, parts.operations[:, level, None])[:, 0]
            result = torch.where(used[:, level], chosen % modulus, result)
        return result

    def _texts(self, parts: Parts, used: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols ``[B, S]`` and which of them are shown, see :func:`to_batch`."""
        device = used.device
        vocabulary = torch.arange(len(SYMBOLS), device=device).expand(*used.shape, -1)
        count = parts.counts.unsqueeze(2) + ZERO
        sign = torch.where(parts.greater, NUMBERS[">"], NUMBERS["<"]).unsqueeze(2)
        row = torch.cat([vocabulary, count, sign, parts.others.flatten(2) + ZERO], dim=2)
        if device not in self._layouts:  # copied there once
            self._layouts[device] = [layout.to(device) for layout in self._layouts[torch.device("cpu")]]
        pieces = []
        for layout in self._layouts[device]:
            pick, digit = layout[parts.operations].unbind(3)  # [B, N, W]
            pieces.append((row.gather(2, pick), (digit < parts.lengths[:, None, None]) & used.unsqueeze(2)))
        (before, before_shown), (after, after_shown) = pieces
        # All levels but the outermost stand in parentheses.
        inner = torch.cat([used[:, 1:], torch.zeros_like(used[:, :1])], dim=1).unsqueeze(2)
        opening, closing = (torch.full_like(count, NUMBERS[parenthesis]) for parenthesis in "()")

        def joined(opening: Tensor, before: Tensor, first: Tensor, after: Tensor, closing: Tensor) -> Tensor:
            left, right = torch.cat([opening, before], dim=2), torch.cat([after, closing], dim=2)
            return torch.cat([left.flip(1).flatten(1), first, right.flatten(1)], dim=1)

        first_shown = torch.arange(self.length, device=device) < parts.lengths.unsqueeze(1)
        symbols = joined(opening, before, parts.first + ZERO, after, closing)
        return symbols, joined(inner, before_shown, first_shown, after_shown, inner)


def _width(text: str, length: int) -> int:
    return sum(length if character in LITERALS else 1 for character in text)


def _layout(texts: Sequence[str], length: int) -> Tensor:
    """The characters of these texts, ``[texts, W, 2]``: where each is picked, and which digit of a literal it is."""
    width = max(_width(text, length) for text in texts)
    rows = []
    for text in texts:
        row = []
        for character in text:
            if character in LITERALS:
                first = _FIRST_DIGIT + LITERALS.index(character) * length
                row += [(first + digit, digit) for digit in range(length)]
            else:
                row.append((_PICKS[character], _NO_DIGIT))
        rows.append(row + [(0, _NEVER)] * (width - len(row)))
    return torch.tensor(rows, dtype=torch.int64).reshape(len(texts), width, 2)


def _values(digits: Tensor, lengths: Tensor) -> Tensor:
    """The numbers that the first l digits of ``[B, ..., L]`` make, l being ``[B]``."""
    exponents = lengths.unsqueeze(1) - 1 - torch.arange(digits.shape[-1], device=digits.device)  # [B, L]
    weights = torch.where(exponents >= 0, 10 ** exponents.clamp(min=0), 0)
    return (digits * weights.reshape(len(digits), *[1] * (digits.dim() - 2), -1)).sum(dim=-1)


def _decimal(numbers: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The digits of the numbers ``[B]``, at least 0, as they are written: ``[B, most]``, and how many there are."""
    place = torch.arange(most, device=numbers.device)
    num_digits = 1 + (numbers.unsqueeze(1) >= 10 ** place[1:]).sum(dim=1)
    exponents = num_digits.unsqueeze(1) - 1 - place
    return numbers.unsqueeze(1) // 10 ** exponents.clamp(min=0) % 10, num_digits
