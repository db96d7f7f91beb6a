"""The functions that the kernels write out, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from rmc_agents import rmc
from rmc_agents.fast import kernels, kernels_torch

Values = np.ndarray[Any, Any]


def over(function: Any) -> Callable[[Values], Values]:
    """The compiled scalar function over an array."""

    @njit
    def loop(values: Values) -> Values:
        result = np.empty_like(values)
        for index in range(values.size):
            result[index] = function(values[index])
        return result

    return loop


def sigmoid(x: Values) -> Values:
    return np.where(x > 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


@pytest.mark.parametrize(
    ("function", "exact", "values"),
    [
        (kernels._exp, np.exp, np.linspace(-87, 0, 100_001)),
        (kernels._tanh, np.tanh, np.linspace(-12, 12, 100_001)),
        (kernels._sigmoid, sigmoid, np.linspace(-80, 80, 100_001)),
    ],
    ids=["exp", "tanh", "sigmoid"],
)
def test_accuracy(function: Any, exact: Callable[[Values], Values], values: Values) -> None:
    given = values.astype(np.float32)
    expected = exact(given.astype(np.float64))
    result = over(function)(given).astype(np.float64)
    error = np.abs(result - expected) / np.maximum(np.abs(expected), 1.0 if function is kernels._tanh else 1e-30)
    assert error.max() < 3e-7


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (kernels._exp, [0.0, -88.0, -np.inf, np.nan], [1.0, 0.0, 0.0, np.nan]),
        (kernels._tanh, [0.0, np.inf, -np.inf, 1e30, np.nan], [0.0, 1.0, -1.0, 1.0, np.nan]),
        (kernels._sigmoid, [0.0, np.inf, -np.inf, 1e30, np.nan], [0.5, 1.0, 0.0, 1.0, np.nan]),
    ],
    ids=["exp", "tanh", "sigmoid"],
)
def test_edges(function: Any, given: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(over(function)(np.array(given, np.float32)), np.array(expected, np.float32))


def test_the_norms_share_their_epsilon() -> None:
    assert np.float32(rmc.LAYER_NORM_EPSILON) == kernels.EPSILON
    assert rmc.LAYER_NORM_EPSILON == kernels_torch.EPSILON


def test_bfloat16_is_read_and_written_as_pytorch_does() -> None:
    """Bit by bit: every bfloat16 comes back, and what lies between two goes where PyTorch puts it."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16)
    widened = every.view(torch.bfloat16).float()
    between = (widened.view(torch.int32)[:, None] + torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])).flatten()
    given = between.to(torch.int32).view(torch.float32)
    expected = given.to(torch.bfloat16)

    @njit
    def widen(bits: Values, result: Values) -> None:
        for index in range(bits.size):
            result[index] = kernels._float(bits[index])

    @njit
    def shorten(values: Values, result: Values) -> None:
        kernels._round_row(values, result)

    result = np.empty(len(given), np.int16)
    shorten(given.numpy(), result)
    rounded = torch.from_numpy(result).view(torch.bfloat16)
    assert torch.equal(rounded.isnan(), expected.isnan())
    assert torch.equal(rounded[~rounded.isnan()].view(torch.int16), expected[~expected.isnan()].view(torch.int16))
    back = np.empty(len(every), np.float32)
    widen(every.numpy(), back)
    np.testing.assert_array_equal(back, widened.numpy())
