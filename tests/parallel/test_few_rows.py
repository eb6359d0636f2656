"""The compiled kernels for a few rows make what torch makes, with any number of threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.parallel import few_rows, product
from mmm_graph.parallel.few_rows import Kernels, can_take, kernels


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [64, 37])
@torch.no_grad()
def test_norm_and_gate(kernel: Kernels, dtype: torch.dtype, width: int) -> None:
    x, weight = torch.randn(3, 1, width, dtype=dtype) * 5, torch.randn(width, dtype=dtype)
    exact = F.rms_norm(x.double(), (width,), weight.double(), 1e-3)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(kernel.norm(x, weight, 1e-3).double(), exact, atol=1e-6, rtol=max(eps, 1e-6))
    both = torch.randn(3, 1, 2 * width, dtype=dtype) * 5
    both[0, 0, :3] = torch.tensor([-300.0, 300.0, 0.0])
    gate, up = both.double().chunk(2, -1)
    torch.testing.assert_close(kernel.gated(both).double(), F.silu(gate) * up, atol=1e-6, rtol=max(eps, 2e-6))


@torch.no_grad()
def test_a_gate_that_is_no_number_gives_none(kernel: Kernels) -> None:
    both = torch.ones(1, 32)
    both[0, 5], both[0, 6] = float("nan"), float("inf")
    found = kernel.gated(both)[0]
    assert found[5].isnan() and found[6] == float("inf") and found[[0, 7]].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("batch", "heads", "turns", "first"), [(1, 3, 1, 0), (2, 2, 2, 5), (2, 1, 0, 0)])
@torch.no_grad()
def test_attention_of_one_token(
    kernel: Kernels, dtype: torch.dtype, batch: int, heads: int, turns: int, first: int
) -> None:
    group, dim, room, at = 3, 16, 50, 41
    cache = torch.randn(2, batch, heads, room, dim, dtype=dtype)
    qkv = torch.randn(batch, 1, (group + 2) * heads * dim, dtype=dtype)
    angles = torch.randn(max(turns, 1), 1, 1, dim // 2)
    cos, sin = (
        torch.cat([angles.cos()] * 2, -1).to(dtype),
        torch.cat([-angles.sin(), angles.sin()], -1).to(dtype),
    )
    q, k, v = qkv.double().view(batch, 1, -1, dim).split([group * heads, heads, heads], 2)
    if turns:
        q, k = (torch.addcmul(x * cos.double(), x.roll(dim // 2, -1), sin.double()) for x in (q, k))
    expected = cache.double().clone()
    expected[:, :, :, at - 1] = torch.stack([k[:, 0], v[:, 0]])
    seen = expected[:, :, :, first:at]
    y = F.scaled_dot_product_attention(q.reshape(batch, heads, group, dim), *seen).reshape(batch, 1, -1)
    found = kernel.attend(qkv, (cos, sin) if turns else None, cache, at, first)
    tolerance = {"atol": 2e-2, "rtol": 2e-2} if dtype is torch.bfloat16 else {"atol": 2e-6, "rtol": 1e-5}
    torch.testing.assert_close(found.double(), y, **tolerance)
    torch.testing.assert_close(cache.double(), expected, **tolerance)
    apart = torch.ones(room, dtype=torch.bool)
    apart[at - 1] = False
    assert torch.equal(cache.double()[:, :, :, apart], expected[:, :, :, apart])  # nothing else is written


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
    library = few_rows._library(tmp_path / "a")
    assert [p.name for p in library.parent.iterdir()] == [library.name] and Kernels(library)
    monkeypatch.setattr(few_rows, "_run", lambda *command: pytest.fail("compiled again"))
    assert few_rows._library(tmp_path / "a") == library


def test_without_a_compiler_or_with_a_broken_one_there_is_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(few_rows, "COMPILERS", ("no-such-compiler",))
    assert kernels.__wrapped__() is None
    monkeypatch.setattr(few_rows, "COMPILERS", ("false",))
    assert kernels.__wrapped__() is None and not list((tmp_path / ".cache" / "mmm_graph").iterdir())
