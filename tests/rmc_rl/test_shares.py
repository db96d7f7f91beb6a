from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from rmc_rl.shares import Share, by_group, clustered, independent, percent


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (0, 50), (50, 50), (1, 50), (37, 50), (12_799, 12_800)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert Share(right, count, count).interval == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_none_there_is_no_share() -> None:
    share = Share(0, 0, 0)
    assert math.isnan(share.value)
    assert all(map(math.isnan, share.interval))
    assert share.words == ("–", "")  # noqa: RUF001
    assert clustered(torch.zeros(3), torch.zeros(3)) == share


def test_words_show_as_many_digits_as_the_interval_has() -> None:
    assert independent(torch.tensor([True] * 3 + [False])).words == ("75.0 %", "30.1 to 95.4")
    assert Share(12_799, 12_800, 12_800).words == ("99.99 %", "99.96 to 100.00")
    assert Share(50, 50, 50).words[0] == "100 %"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.9375, "93.8 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.9996, "99.96 %"),
        (0.99997, "99.997 %"),
        (0.0001, "0.01 %"),
        (0.3, "30.0 %"),
        (math.nan, "–"),  # noqa: RUF001
    ],
)
def test_percentages(value: float, words: str) -> None:
    assert percent(value) == words


def test_answers_that_stand_and_fall_together_are_one_observation() -> None:
    right = torch.tensor([5, 0, 5, 5])
    share = clustered(right, torch.full((4,), 5))
    assert (share.right, share.count, share.effective) == (15, 20, pytest.approx(4))
    assert share.interval == pytest.approx(Share(3, 4, 4).interval)


def test_answers_that_are_right_by_themselves_count_each() -> None:
    draws = np.random.default_rng(0).random((4000, 5)) < 0.8
    share = clustered(torch.from_numpy(draws.sum(axis=1)), torch.full((4000,), 5))
    assert share.effective == pytest.approx(20_000, rel=0.06)
    assert share.effective <= share.count == 20_000


def test_all_right_is_no_more_certain_than_the_sequences_allow() -> None:
    share = clustered(torch.full((100,), 5), torch.full((100,), 5))
    assert share.interval == pytest.approx(Share(100, 100, 100).interval)


def test_the_interval_of_sequences_covers_as_often_as_it_says() -> None:
    """Sequences of 2 to 6 characters, each with a chance of its own: characters alone would promise too much."""
    random = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(400):
        counts = random.integers(2, 7, 150)
        right = random.binomial(counts, random.beta(1.2, 0.8, 150))
        share = clustered(torch.from_numpy(right), torch.from_numpy(counts))
        low, high = share.interval
        covered += low <= 0.6 <= high
        low, high = Share(share.right, share.count, share.count).interval
        naive += low <= 0.6 <= high
    assert 0.92 < covered / 400 < 0.98
    assert naive / 400 < 0.85


def test_groups() -> None:
    right = torch.tensor([True, False, True, True])
    shares = by_group(right, torch.tensor([0, 0, 2, 2]), 4)
    assert [(share.right, share.count) for share in shares] == [(1, 2), (0, 0), (2, 2), (0, 0)]
    assert shares[0].as_json() == {
        "share": 0.5,
        "low": pytest.approx(0.0945, abs=1e-3),
        "high": pytest.approx(0.9055, abs=1e-3),
        "count": 2,
    }
