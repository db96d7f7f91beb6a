from __future__ import annotations

import numpy as np
import pytest
import torch

from rmc_rl.errors import UserError
from rmc_rl.weights import get_weights, load_weights
from tests.rmc_rl.impala.scripted import small_agent


def test_round_trip_is_a_copy() -> None:
    agent, other = small_agent(), small_agent()
    weights = get_weights(agent)
    load_weights(other, weights)
    with torch.no_grad():
        next(agent.parameters()).zero_()
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), weights[name])
    assert not np.array_equal(get_weights(agent)[next(iter(weights))], weights[next(iter(weights))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "value.linear.bias"}, r"'value.linear.bias' is missing"),
        (lambda w: w | {"extra": np.zeros(1)}, "'extra' is unknown"),
        (lambda w: w | {"value.linear.bias": np.zeros(2)}, r"'value.linear.bias' has shape \(2,\), needed is \(1,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: object, message: str) -> None:
    agent = small_agent()
    with pytest.raises(UserError, match=message):
        load_weights(agent, change(get_weights(agent)))  # type: ignore[operator]
