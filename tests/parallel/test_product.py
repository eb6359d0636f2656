"""The product by another kernel is the product."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.parallel import product as module
from mmm_graph.parallel.exchange import SINGLE
from mmm_graph.parallel.product import product


@pytest.fixture
def calls(monkeypatch):
    """How often the convolution ran; on every CPU it counts as the faster one."""
    found, run = [], torch.mkldnn_convolution
    monkeypatch.setattr(module, "HAS_SLOW_GEMM", True)
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *args: found.append(1) or run(*args))
    return found


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 300, 256), (513, 256), (1, 2, 400, 256)])
@torch.no_grad()
def test_large_ones(calls, shape, has_bias):
    x, weight = torch.randn(shape), torch.randn(384, 256)
    bias = torch.randn(384) if has_bias else None
    expected = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    found = product(x, weight, bias)
    assert calls and found.is_contiguous() and found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4


@torch.no_grad()
def test_many_input_columns_are_summed_in_pieces(calls, monkeypatch):
    monkeypatch.setattr(module, "MOST_COLUMNS", 100)
    x, weight, bias = torch.randn(2, 300, 256), torch.randn(384, 256), torch.randn(384)
    found = product(x, weight, bias)
    assert len(calls) == 3
    assert (found - F.linear(x.double(), weight.double(), bias.double())).abs().max() < 1e-4


@torch.no_grad()
def test_tokens_that_are_not_contiguous(calls):
    whole, weight = torch.randn(2, 400, 512), torch.randn(384, 256)
    x = whole[:, 40:, 128:384]
    assert (product(x, weight, None) - F.linear(x.double(), weight.double())).abs().max() < 1e-4
    assert calls


@torch.no_grad()
def test_other_dtypes_are_torchs_own(calls):
    x, weight = torch.randn(600, 256).double(), torch.randn(384, 256).double()
    assert torch.equal(product(x, weight, None), F.linear(x, weight)) and not calls


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [True, False])
@torch.no_grad()
def test_half_types_are_computed_in_float32_and_rounded_once(calls, monkeypatch, dtype, has_bias):
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 100 * 256)
    x, weight = torch.randn(2, 50, 256, dtype=dtype), torch.randn(384, 256, dtype=dtype)
    bias = torch.randn(384, dtype=dtype) if has_bias else None
    found = product(x, weight, bias)
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.dtype is dtype and found.shape == exact.shape
    torch.testing.assert_close(
        found.double(), exact.to(dtype).double(), atol=1e-5, rtol=torch.finfo(dtype).eps
    )
    assert torch.equal(product(x[:, :, :8], weight[:, :8], bias), F.linear(x[:, :, :8], weight[:, :8], bias))


def test_small_ones_empty_ones_and_gradients_are_torchs_own(calls):
    weight = torch.randn(384, 256, requires_grad=True)
    product(torch.randn(600, 256), weight, None).sum().backward()
    assert weight.grad is not None
    with torch.no_grad():
        for rows in (0, 9, 63):  # a few more than those of few_rows.py
            x = torch.randn(rows, 256)
            assert torch.equal(product(x, weight, None), F.linear(x, weight))
    assert not calls


@torch.no_grad()
def test_a_point_convolution_is_a_product(calls):
    x = torch.randn(2, 256, 20, 20).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(384, 256, 1, 1), torch.randn(384)
    found = SINGLE.conv2d("", x, weight, bias, 1, (0, 0))
    assert calls and found.is_contiguous(memory_format=torch.channels_last)
    assert (found - F.conv2d(x.double(), weight.double(), bias.double())).abs().max() < 1e-4
