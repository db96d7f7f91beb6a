"""The functions that the kernels write out, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
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
