from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rmc_rl.config import LearnerConfig, make_config
from rmc_rl.errors import UserError
from rmc_rl.optimizer import Optimizer


@pytest.fixture(scope="module")
def config() -> LearnerConfig:
    return replace(make_config().learner, learning_rate=0.1, learning_rate_final=0.02, warmup_updates=4)


def module() -> nn.Linear:
    made = nn.Linear(2, 1, bias=False)
    nn.init.ones_(made.weight)
    return made


def descend(linear: nn.Linear, optimizer: Optimizer, updates: int) -> torch.Tensor:
    for _ in range(updates):
        linear.weight.grad = 2 * linear.weight.detach()
        optimizer.step()
    return linear.weight.detach().clone()


def test_the_step_size_rises_and_then_falls_with_the_budget(config: LearnerConfig) -> None:
    optimizer = Optimizer(module(), config)
    rates = [optimizer.schedule(progress, updates) for updates, progress in enumerate([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])]
    np.testing.assert_allclose(rates, [0.025, 0.05, 0.075, 0.1, 0.06, 0.02])


def test_clipping_tells_the_norm_before(config: LearnerConfig) -> None:
    linear = module()
    linear.weight.grad = torch.tensor([[3.0, 4.0]])
    assert Optimizer(linear, replace(config, max_grad_norm=None)).clip() == 5.0
    torch.testing.assert_close(linear.weight.grad, torch.tensor([[3.0, 4.0]]))
    assert Optimizer(linear, replace(config, max_grad_norm=0.5)).clip() == 5.0
    torch.testing.assert_close(linear.weight.grad, torch.tensor([[0.3, 0.4]]))


@pytest.mark.parametrize("changed", [{"optimizer": "adam"}, {"optimizer": "rmsprop"}, {"rmsprop_momentum": 0.9}])
def test_a_restored_optimiser_goes_on_as_if_nothing_had_been(config: LearnerConfig, changed: dict[str, object]) -> None:
    config = replace(config, **changed)
    linear = module()
    optimizer = Optimizer(linear, config)
    descend(linear, optimizer, 3)
    again = module()
    again.load_state_dict(linear.state_dict())
    restored = Optimizer(again, config)
    restored.set_state(optimizer.get_state())
    assert torch.equal(descend(again, restored, 2), descend(linear, optimizer, 2))


def test_another_algorithm_starts_afresh(config: LearnerConfig) -> None:
    linear = module()
    optimizer = Optimizer(linear, config)
    descend(linear, optimizer, 3)
    other = Optimizer(linear, replace(config, optimizer="adam"))
    other.set_state(optimizer.get_state())
    assert other.get_state() == {"adam": {}}


def test_averages_of_another_module_are_refused(config: LearnerConfig) -> None:
    linear = module()
    optimizer = Optimizer(linear, config)
    descend(linear, optimizer, 1)
    with pytest.raises(UserError, match="'weight/square_avg' has no place here"):
        Optimizer(nn.Linear(3, 1, bias=False), config).set_state(optimizer.get_state())
