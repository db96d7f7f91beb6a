from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rmc_rl.gradients import Gradients, GradientSum


class Half(nn.Module):
    """Two weights, one of which has no influence."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.unused = nn.Parameter(torch.ones(3))

    def gradients(self, part: Tensor) -> Gradients:
        loss = (self.used * part).pow(2).sum()
        gradients = torch.autograd.grad(loss, list(self.parameters()), allow_unused=True)
        return gradients, torch.stack([loss.detach().double()])


PARTS = torch.linspace(-1, 2, 14).unflatten(0, (7, 2))


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_add_up_to_the_whole(threads: int) -> None:
    module = Half()
    figures = GradientSum(list(module.parameters()), threads).put(PARTS, module.gradients)
    whole, loss = module.gradients(PARTS)
    torch.testing.assert_close(module.used.grad, whole[0])
    assert module.unused.grad is None
    torch.testing.assert_close(figures, loss, rtol=1e-5, atol=1e-6)


def test_the_number_of_threads_changes_no_bit() -> None:
    def grad(threads: int) -> Tensor:
        module = Half()
        GradientSum(list(module.parameters()), threads).put(PARTS, module.gradients)
        assert module.used.grad is not None
        return module.used.grad

    assert torch.equal(grad(1), grad(4))


def test_learners_that_share_a_batch_add_theirs() -> None:
    module = Half()
    messages: list[int] = []

    def twice(tensors: list[Tensor]) -> list[Tensor]:
        messages.append(len(tensors))
        return [2 * tensor for tensor in tensors]

    figures = GradientSum(list(module.parameters()), all_reduce=twice).put(PARTS, module.gradients)
    whole, loss = module.gradients(PARTS)
    torch.testing.assert_close(module.used.grad, 2 * whole[0])
    torch.testing.assert_close(figures, 2 * loss, rtol=1e-5, atol=1e-6)
    assert messages == [2], "one message: the gradient of what has one, and the figures"
