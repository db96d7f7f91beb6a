from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmc_rl.impala.vtrace import vtrace


def slow_reference(
    log_ratio: np.ndarray,
    discount: np.ndarray,
    reward: np.ndarray,
    value: np.ndarray,
    bootstrap: np.ndarray,
    valid: np.ndarray,
    rho_bar: float,
    c_bar: float,
    trace_lambda: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The definition of section 4.1 as written, one sum per target, one game at a time.

    v_s = V(x_s) + sum over t >= s of (prod over i in [s, t) of gamma_i c_i) delta_t, cut at transitions not valid.
    """
    steps, batch = value.shape
    target, advantage = np.zeros_like(value), np.zeros_like(value)
    for b in range(batch):
        values = [*value[:, b], bootstrap[b]]
        for s in range(steps):
            total, product = values[s], 1.0
            for t in range(s, steps):
                if not valid[t, b]:
                    break
                ratio = np.exp(log_ratio[t, b])
                delta = min(rho_bar, ratio) * (reward[t, b] + discount[t, b] * values[t + 1] - values[t])
                total += product * delta
                product *= discount[t, b] * trace_lambda * min(c_bar, ratio)
            target[s, b] = total
        for s in range(steps):
            if valid[s, b]:
                following = target[s + 1, b] if s + 1 < steps else bootstrap[b]
                rho = min(rho_bar, np.exp(log_ratio[s, b]))
                advantage[s, b] = rho * (reward[s, b] + discount[s, b] * following - values[s])
    return target, advantage


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_golden_vector() -> None:
    result = vtrace(
        column(0.2, -0.5, 0.0, 0.7),
        column(0.9, 0.9, 0.0, 0.9),
        column(1.0, 0.0, -1.0, 0.5),
        column(0.5, -0.2, 0.3, 0.1),
        torch.tensor([0.4], dtype=torch.float64),
        torch.ones(4, 1, dtype=torch.bool),
    )
    np.testing.assert_allclose(result.target[:, 0], [0.437886, -0.624571, -1.0, 0.86], atol=1e-6)
    np.testing.assert_allclose(result.advantage[:, 0], [-0.062114, -0.424571, -1.3, 0.76], atol=1e-6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    rho_bar=st.sampled_from([0.5, 1.0, 3.0]),
    c_bar=st.sampled_from([0.5, 1.0, 2.0]),
    trace_lambda=st.sampled_from([0.0, 0.9, 1.0]),
)
def test_equals_the_definition(
    steps: int, batch: int, seed: int, rho_bar: float, c_bar: float, trace_lambda: float
) -> None:
    rng = np.random.default_rng(seed)
    log_ratio, reward, value = rng.normal(size=(3, steps, batch))
    discount = np.where(rng.random((steps, batch)) < 0.2, 0.0, 0.95)
    valid = rng.random((steps, batch)) < 0.8
    bootstrap = rng.normal(size=batch)
    arrays = (log_ratio, discount, reward, value, bootstrap, valid)
    result = vtrace(*map(torch.from_numpy, arrays), rho_bar=rho_bar, c_bar=c_bar, trace_lambda=trace_lambda)
    target, advantage = slow_reference(*arrays, rho_bar, c_bar, trace_lambda)
    np.testing.assert_allclose(result.target, target, atol=1e-10)
    np.testing.assert_allclose(result.advantage, advantage, atol=1e-10)


def test_on_policy_is_the_n_step_return() -> None:
    rng = np.random.default_rng(1)
    reward, value = rng.normal(size=(2, 6, 3))
    bootstrap = rng.normal(size=3)
    ones = np.ones((6, 3), bool)
    result = vtrace(*map(torch.from_numpy, (np.zeros((6, 3)), np.full((6, 3), 0.9), reward, value, bootstrap, ones)))
    expected = bootstrap
    for t in reversed(range(6)):
        expected = reward[t] + 0.9 * expected
        np.testing.assert_allclose(result.target[t], expected, atol=1e-12)


def test_nothing_flows_across_a_transition_that_is_not_valid() -> None:
    valid = torch.tensor([[True], [False], [True]])
    value = column(0.5, 0.2, 0.1)

    def run(reward_after: float, log_ratio_between: float) -> tuple[torch.Tensor, torch.Tensor]:
        return vtrace(
            column(0.0, log_ratio_between, 0.0),
            column(0.9, 0.9, 0.9),
            column(1.0, 7.0, reward_after),
            value,
            torch.tensor([0.3], dtype=torch.float64),
            valid,
        )

    one, other = run(0.0, 0.0), run(100.0, 1000.0)  # exp(1000) is infinite: it must not become NaN
    assert torch.equal(one[0][:2], other[0][:2])
    assert one[0][1, 0] == value[1, 0], "the target of a transition that is not valid is its value"
    assert one[1][1, 0] == 0
    assert one[0][0, 0] == pytest.approx(1.0 + 0.9 * 0.2)
