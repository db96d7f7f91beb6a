from __future__ import annotations

import pytest

from rmc_rl.schedules import scheduled


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 3.0), (0.25, 2.5), (1.0, 1.0), (1.5, 1.0), (-1.0, 3.0)])
def test_linear(progress: float, expected: float) -> None:
    assert scheduled(3.0, 1.0, "linear", progress) == pytest.approx(expected)


def test_constant_ignores_the_final_value() -> None:
    assert scheduled(3.0, 1.0, "constant", 0.7) == 3.0
