"""A few rows times a weight by the compiled kernel: what torch makes of it, with any number of threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.parallel import matvec, product
from mmm_graph.parallel.matvec import Kernels, can_take, kernels


@pytest.fixture
def kernel() -> Kernels:
    """Tests run where torch.compile does, which needs a compiler too."""
    found = kernels()
    assert found is not None
    return found


def unpacked(codes: Tensor, scales: Tensor, width: int) -> Tensor:
    """What the docs say of packed weights, by torch."""
    if codes.dtype is torch.int8:
        return codes.double() * scales.double()[:, None]
    pairs = codes.view(len(codes), -1, 16)
    both = torch.cat([pairs & 15, pairs >> 4], -1).double()
    return (both * scales[..., :1].double() + scales[..., 1:].double()).view(len(codes), width)


@pytest.mark.parametrize("shape", [(1, 64), (3, 1, 64), (8, 96), (1, 45), (2, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [True, False])
@torch.no_grad()
def test_rows(kernel: Kernels, shape: tuple[int, ...], dtype: torch.dtype, has_bias: bool) -> None:
    x, weight = torch.randn(shape, dtype=dtype), torch.randn(37, shape[-1], dtype=dtype)
    bias = torch.randn(37, dtype=dtype) if has_bias else None
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    found = kernel.rows(x, weight, bias)
    assert found.dtype is dtype and found.shape == exact.shape
    torch.testing.assert_close(
        found.double(), exact.to(dtype).double(), atol=1e-5, rtol=torch.finfo(dtype).eps
    )


@pytest.mark.parametrize("is_int8", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_packed_weights(kernel: Kernels, is_int8: bool, dtype: torch.dtype) -> None:
    if is_int8:
        codes, scales = torch.randint(-127, 128, (21, 96), dtype=torch.int8), torch.rand(21).bfloat16()
    else:
        codes = torch.randint(0, 256, (21, 48), dtype=torch.uint8)
        scales = torch.randn(21, 3, 2).bfloat16()
    weight = unpacked(codes, scales, 96)
    found = kernel.unpack(codes, scales, 96)
    torch.testing.assert_close(found.double(), weight, atol=1e-6, rtol=1e-6)
    x, bias = torch.randn(2, 96, dtype=dtype), torch.randn(21, dtype=dtype)
    exact = F.linear(x.double(), weight, bias.double())
    found = kernel.rows(x, codes, bias, scales)
    torch.testing.assert_close(
        found.double(), exact.to(dtype).double(), atol=1e-4, rtol=torch.finfo(dtype).eps
    )


@torch.no_grad()
def test_threads_and_other_rows_change_nothing(kernel: Kernels) -> None:
    x, weight, before = torch.randn(4, 256), torch.randn(300, 256), torch.get_num_threads()
    one = torch.cat([kernel.rows(row, weight) for row in x.split(1)])
    try:
        torch.set_num_threads(2)
        assert torch.equal(kernel.rows(x, weight), one)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_bfloat16_is_rounded_to_even_and_keeps_nan_and_infinity(kernel: Kernels) -> None:
    values = torch.tensor([1.00390625, 1.01171875, float("nan"), float("inf"), -3.4e38, 1e-40])
    weight = torch.zeros(6, 8)
    weight[:, 0] = values
    high = weight.bfloat16()
    rest = (weight - high.float()).bfloat16()  # two halves make values between those of bfloat16
    x = torch.tensor([[1.0, 1] + [0] * 6]).bfloat16()
    high[:, 1] = torch.nan_to_num(rest[:, 0], 0, 0, 0)
    found = kernel.rows(x, high)[0]
    assert torch.equal(found.nan_to_num(7), values.bfloat16().nan_to_num(7))


@torch.no_grad()
def test_what_it_does_not_take() -> None:
    x, weight = torch.randn(1, 32), torch.randn(4, 32)
    assert can_take(x, weight) and can_take(x, weight, (None, torch.zeros(4)))
    assert not can_take(torch.randn(9, 32), weight) and not can_take(torch.randn(0, 32), weight)
    assert not can_take(x.double(), weight.double()) and not can_take(x, weight, (torch.zeros(4).half(),))
    assert not can_take(x, torch.randn(32, 4).T) and not can_take(torch.randn(64, 2)[:32].T[:1], weight)
    assert not can_take(torch.randn(1, 32, device="meta"), weight)
    with torch.enable_grad():
        assert not can_take(x, weight)


@torch.no_grad()
def test_products_of_few_rows_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    found = kernels()
    assert found is not None
    run = found.rows
    monkeypatch.setattr(found, "rows", lambda *args: calls.append(1) or run(*args))
    x, weight = torch.randn(1, 1, 256), torch.randn(256, 256)
    torch.testing.assert_close(product.product(x, weight, None), F.linear(x, weight), atol=1e-4, rtol=1e-5)
    assert calls == [1]
    product.product(x, weight[:8], None)
    product.product(x.double(), weight.double(), None)
    assert calls == [1]
    monkeypatch.setattr(product, "kernels", lambda: None)  # a machine without a compiler
    assert torch.equal(product.product(x, weight, None), F.linear(x, weight)) and calls == [1]


def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = matvec._library(tmp_path / "a")
    assert [p.name for p in library.parent.iterdir()] == [library.name] and Kernels(library)
    monkeypatch.setattr(matvec, "_run", lambda *command: pytest.fail("compiled again"))
    assert matvec._library(tmp_path / "a") == library


def test_without_a_compiler_or_with_a_broken_one_there_is_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(matvec, "COMPILERS", ("no-such-compiler",))
    assert kernels.__wrapped__() is None
    monkeypatch.setattr(matvec, "COMPILERS", ("false",))
    assert kernels.__wrapped__() is None and not list((tmp_path / ".cache" / "mmm_graph").iterdir())
