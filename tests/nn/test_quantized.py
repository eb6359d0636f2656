"""Packed weights: how far they are from what they were, and that everybody computes with the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmm_graph.nn import quantized
from mmm_graph.nn.fused import Projections, fuse
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.quantized import (
    QuantizedLinear,
    pack,
    quantizable,
    quantize_layer,
    quantized_product,
    unpack,
)
from mmm_graph.parallel import product as products
from mmm_graph.parallel.few_rows import Kernels, kernels


@pytest.fixture(params=["kernel", "torch"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernels | None:
    """Machines with a compiler, and those without."""
    if request.param == "torch":
        monkeypatch.setattr(quantized, "kernels", lambda: None)
        return None
    found = kernels()
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_int8_is_within_half_a_scale(scale: float) -> None:
    weight = torch.randn(20, 64) * scale
    packed = pack(weight, "int8")
    assert packed.codes.dtype is torch.int8 and packed.codes.shape == (20, 64)
    error = (packed.weight() - weight).abs().amax(1)
    assert (error <= packed.scales.float() * 0.501).all() and (packed.codes.abs().amax(1) >= 126).all()


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_int4_is_within_half_a_step_of_its_group(shift: float) -> None:
    weight = torch.randn(20, 96) * torch.logspace(-3, 2, 20)[:, None] + shift
    packed = pack(weight, "int4")
    assert packed.codes.dtype is torch.uint8 and packed.codes.shape == (20, 48)
    groups = weight.unflatten(1, (3, 32))
    step = (groups.amax(-1) - groups.amin(-1)) / 15
    rounding = groups.abs().amax(-1) * 2.0**-8  # of scale and least value to bfloat16
    error = (packed.weight() - weight).abs().unflatten(1, (3, 32)).amax(-1)
    assert (error <= 0.5 * step + rounding).all()


def test_what_fits_is_kept_exactly() -> None:
    """Weights that were quantized so already lose nothing."""
    codes = torch.randint(0, 16, (4, 2, 32))
    codes[..., 0], codes[..., 1] = 0, 15
    weight = (codes * 0.25 - 2).flatten(1)
    assert torch.equal(pack(weight, "int4").weight(), weight)
    whole = torch.randint(-127, 128, (4, 64))
    whole[:, 0] = 127
    assert torch.equal(pack(whole * 0.5, "int8").weight(), whole * 0.5)


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_rows_of_zeros_and_of_one_value(how: str) -> None:
    weight = torch.stack([torch.zeros(32), torch.full((32,), 0.5), torch.full((32,), -3.0)])
    found = pack(weight, how).weight()
    assert torch.equal(found[0], weight[0]) and (found - weight).abs().max() <= 3 / 127 / 2
    assert torch.equal(found, weight) or how == "int8"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none(bad: float) -> None:
    weight = torch.ones(2, 32)
    weight[1, 3] = bad
    with pytest.raises(ValueError, match="infinite or NaN"):
        pack(weight, "int4")


@pytest.mark.parametrize("how", ["int8", "int4"])
@pytest.mark.parametrize("rows", [(1,), (2, 1), (3, 20)])
@torch.no_grad()
def test_products_are_those_of_the_unpacked_weight(kernel: Kernels | None, how: str, rows: tuple[int, ...],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(products, "CHUNK_NUMBERS", 64 * 10)  # pieces of 10 rows
    x, packed, bias = torch.randn(*rows, 64), pack(torch.randn(37, 64), how), torch.randn(37)
    exact = F.linear(x.double(), packed.weight().double(), bias.double())
    torch.testing.assert_close(quantized_product(x, packed, bias).double(), exact, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(unpack(packed, 64), packed.weight(), atol=1e-6, rtol=1e-6)
    half = quantized_product(x.bfloat16(), packed, bias.bfloat16())
    assert half.dtype is torch.bfloat16 and (half.double() - exact).abs().max() < 0.2


def test_gradients_reach_the_input(kernel: Kernels | None) -> None:
    packed = pack(torch.randn(5, 32), "int4")
    x = torch.randn(2, 32, requires_grad=True)
    quantized_product(x, packed, None).sum().backward()
    torch.testing.assert_close(x.grad, packed.weight().sum(0).expand(2, -1))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 32), nn.Linear(32, 7, bias=False)
        self.head.weight = self.embed.weight
        self.q, self.k = nn.Linear(32, 8), nn.Linear(32, 4)
        self.norm, self.out, self.odd = nn.LayerNorm(32), RowLinear(32, 32), nn.Linear(33, 2)
        self.attn = nn.MultiheadAttention(32, 2)
        self.project = Projections("q", "k", on_cpu=True)


@pytest.fixture
def net() -> Net:
    module = Net().eval()
    for name, layer in list(quantizable(module)):
        quantize_layer(module, name, layer.weight, "int4", torch.float32)
    return module


@torch.no_grad()
def test_layers_of_a_module(net: Net) -> None:
    """Embeddings, norms and classes derived from linear layers stay; what is tied to an embedding is a copy."""
    kinds = {name: type(layer) for name, layer in net.named_children()}
    packed = {name for name, kind in kinds.items() if kind is QuantizedLinear}
    assert packed == {"head", "q", "k", "out", "odd"} and type(net.attn.out_proj) is not QuantizedLinear
    assert (
        isinstance(net.embed.weight, nn.Parameter) and (net.head.weight - net.embed.weight).abs().max() < 0.3
    )
    assert net.odd.codes.dtype is torch.int8  # 33 columns
    assert (net.out.in_features, net.out.out_features, net.head.in_features) == (32, 32, 32)
    x = torch.randn(3, 32)
    torch.testing.assert_close(net.out(x), F.linear(x, net.out.weight, net.out.bias))
    assert net.out(x.bfloat16(), torch.float32).dtype is torch.float32
    assert not any(p.requires_grad for n, p in net.q.named_parameters() if n != "bias")


@pytest.mark.parametrize("rows", [1, 20])
@torch.no_grad()
def test_projections_of_packed_layers_are_joined(net: Net, rows: int) -> None:
    x = torch.randn(rows, 32)
    apart = torch.cat([net.q(x), net.k(x)], -1)
    fuse(net, on_cpu=True)
    assert net.project.fused is not None and net.project.fused.holds([net.q, net.k])
    torch.testing.assert_close(net.project.together(net, x), apart, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(torch.cat([net.q(x), net.k(x)], -1), apart)
    net.q.codes = net.q.codes.clone()
    assert not net.project.fused.holds([net.q, net.k])
