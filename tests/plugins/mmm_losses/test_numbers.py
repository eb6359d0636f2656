from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmm_losses import numbers


def test_lengths_and_units():
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for axis in (-1, 1):
        torch.testing.assert_close(numbers.length_of(x, axis), torch.linalg.vector_norm(x, dim=axis))
        torch.testing.assert_close(numbers.unit(x, axis), F.normalize(x, dim=axis))
    assert torch.autograd.gradcheck(numbers.unit, (x[0].clone().requires_grad_(),))


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-13])
def test_what_has_no_direction_has_no_gradient(value):
    """F.normalize multiplies it by 1e12 there."""
    x = torch.full((2, 3), value, requires_grad=True)
    numbers.unit(x).sum().backward()
    assert bool((numbers.unit(x) == 0).all()) and bool((x.grad == 0).all())
    y = torch.zeros(2, 3, requires_grad=True)
    numbers.length_of(y).sum().backward()
    assert bool((y.grad == 0).all())


def test_precision():
    assert numbers.widened(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert numbers.widened(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    product = numbers.in_full_precision(lambda x: x @ x)
    with torch.autocast("cpu", torch.bfloat16):
        assert product(torch.ones(2, 2)).dtype == torch.float32
