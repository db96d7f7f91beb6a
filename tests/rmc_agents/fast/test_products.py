"""Products against PyTorch's own, above and below the size from which oneDNN takes them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rmc_agents.fast import products
from rmc_agents.fast.products import LEAST_MULTIPLICATIONS, linear, product, weight_gradient

SMALL, LARGE = (3, 5, 7), (130, 66, 70)  # rows, inputs, outputs


def matrices(sizes: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    rows, inputs, outputs = sizes
    torch.manual_seed(0)
    return torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype), torch.randn(outputs)


def test_the_sizes_lie_on_both_sides() -> None:
    assert SMALL[0] * SMALL[1] * SMALL[2] < LEAST_MULTIPLICATIONS < LARGE[0] * LARGE[1] * LARGE[2]


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
@pytest.mark.parametrize("has_onednn", [True, False])
def test_product(sizes: tuple[int, int, int], has_onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_onednn:
        monkeypatch.setattr(products, "has_onednn", lambda dtype: False)
    x, weight, bias = matrices(sizes)
    expected = F.linear(x.double(), weight.double(), bias.double())
    torch.testing.assert_close(product(x, weight, bias).double(), expected, rtol=1e-5, atol=1e-4)
    transposed = product(x.T.contiguous().T, weight.T.contiguous().T).double()
    torch.testing.assert_close(transposed, expected - bias.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_linear_has_the_gradients_of_pytorchs(sizes: tuple[int, int, int]) -> None:
    x, weight, bias = matrices(sizes)
    x = x.unflatten(0, (1, -1))
    own, other = [[t.clone().requires_grad_() for t in (x, weight, bias)] for _ in range(2)]
    gradient = torch.randn(*x.shape[:-1], weight.shape[0])
    linear(*own).backward(gradient)
    F.linear(*other).backward(gradient)
    for a, b in zip(own, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


def test_weight_gradient_sums_over_rows() -> None:
    x, d = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    torch.testing.assert_close(weight_gradient(x, d), torch.einsum("abi,abo->oi", x, d))


def test_other_types_are_left_to_pytorch() -> None:
    x, weight, bias = matrices(LARGE, torch.float64)
    torch.testing.assert_close(product(x, weight), x @ weight.T, rtol=0, atol=0)
    assert product(x, weight, bias.double()).dtype == torch.float64


def test_what_is_not_finite_stays_visible() -> None:
    x, weight, _ = matrices(LARGE)
    x[3, 4] = float("nan")
    assert product(x, weight)[3].isnan().all()
    assert not product(x, weight)[4].isnan().any()


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_a_bias_of_any_stride(sizes: tuple[int, int, int]) -> None:
    x, weight, _ = matrices(sizes)
    every_second = torch.randn(2 * sizes[2])[::2]
    for bias in (every_second, torch.full((1,), 0.5).expand(sizes[2])):
        torch.testing.assert_close(product(x, weight, bias), F.linear(x, weight, bias), rtol=1e-4, atol=1e-4)
