"""Memorization (section 5.2, appendix A.2): digits are read, then given back as they were, reversed or twice over."""

from __future__ import annotations

import torch
from torch import Tensor

from rmc_rl.supervised.tasks.characters import ZERO, CharacterTask, random_digits, to_batch
from rmc_rl.supervised.tasks.curriculum import Curriculum
from rmc_rl.supervised.tasks.task import Batch, Stage, check_batch, register_task

KINDS = ("copy", "reverse", "double")


@register_task("memorization")
class Memorization(CharacterTask):
    """Give back what was read. A batch's detail is ``length`` ``[B]``.

    Args:
        kind: ``"copy"``: 9573 to 9573; ``"reverse"``: to 3759; ``"double"``: to 95739573.
        length: digits at most; the first is not 0.
        curriculum: how many in training, see :class:`~rmc_rl.supervised.tasks.curriculum.Curriculum`.
        patience: the curriculum's.

    Raises:
        ValueError: an unknown kind or curriculum, or a number below 1.
    """

    def __init__(self, *, kind: str, length: int = 5, curriculum: str = "mix", patience: int = 1000) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind: {kind!r} given, one of {list(KINDS)} needed")
        self.kind = kind
        self.length = length
        super().__init__(Curriculum(curriculum, length, 1, patience))

    def batch(self, size: int, generator: torch.Generator, stage: Stage = "train") -> Batch:
        """New numbers."""
        check_batch(size, stage)
        lengths, _ = self.curriculum.draw(size, generator, stage)
        return self.pose(random_digits(size, 1, self.length, generator)[:, 0], lengths)

    def pose(self, digits: Tensor, lengths: Tensor) -> Batch:
        """The batch of these digits ``[B, L]``, of which so many ``[B]`` count."""
        place = torch.arange(self.length, device=digits.device)
        end = lengths.unsqueeze(1)
        if self.kind == "copy":
            source = place.expand_as(digits)
        elif self.kind == "reverse":
            source = end - 1 - place
        else:
            source = torch.arange(2 * self.length, device=digits.device) % end
        symbols = digits + ZERO
        return to_batch(
            symbols,
            place < end,
            self.length,
            answers=symbols.gather(1, source.clamp(0, self.length - 1)),  # what does not count may lie outside
            lengths=2 * lengths if self.kind == "double" else lengths,
            details={"length": lengths},
        )
