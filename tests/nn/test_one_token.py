"""A block as one call computes what its layers do, bit for bit, and leaves to them what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.fused import fuse
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.kv_cache import make_cache
from mmm_graph.nn.linear import use_products
from mmm_graph.nn.one_token import OneToken
from mmm_graph.nn.quantized import quantizable, quantize_layer
from mmm_graph.parallel.exchange import Single

WIDTH, HEADS, KEYS, DIM, ROOM = 96, 6, 2, 32, 12


class Layers(nn.Module):
    def __init__(
        self,
        *,
        bias: bool = False,
        window: int | None = None,
        qk_norm: bool = False,
        act: Any = "silu",
        hidden: int = 192,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH, 1e-5), nn.RMSNorm(WIDTH, 1e-6)
        self.attn = CausalAttention(
            WIDTH, HEADS, KEYS, DIM, bias=bias, out_bias=bias, qk_norm=qk_norm, window=window
        )
        self.mlp = GatedUnit(WIDTH, hidden, act, bias=bias)
        self.one_token = OneToken(window)

    def forward(self, x: Tensor, rope: Any, cache: Tensor, at: int) -> Tensor:
        x = x + self.attn(self.norm1(x), rope, None, cache, at)
        return x + self.mlp(self.norm2(x))


def made(how: str | None = None, dtype: torch.dtype = torch.float32, **config: Any) -> Layers:
    torch.manual_seed(0)
    layers = Layers(**config).to(dtype).eval()
    nn.init.normal_(layers.norm1.weight)
    for name, layer in list(quantizable(layers)) if how else []:
        quantize_layer(layers, name, layer.weight, how, dtype)
    use_products(layers)
    fuse(layers, on_cpu=True)
    return layers


def inputs(batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Any, Tensor]:
    torch.manual_seed(1)
    x, angles = torch.randn(batch, 1, WIDTH).to(dtype), torch.randn(batch, 1, 1, DIM // 2)
    rope = torch.cat([angles.cos()] * 2, -1).to(dtype), torch.cat([-angles.sin(), angles.sin()], -1).to(dtype)
    cache = make_cache(x, KEYS, DIM, ROOM)
    return x, rope, cache.copy_(torch.randn(cache.shape))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("how", "config"),
    [(None, {}), (None, {"bias": True, "window": 4}), ("int8", {"bias": True}), ("int4", {})],
)
@torch.no_grad()
def test_it_does_what_the_layers_do(
    how: str | None, config: dict[str, Any], dtype: torch.dtype, batch: int
) -> None:
    layers = made(how, dtype, **config)
    x, rope, cache = inputs(batch, dtype)
    theirs = cache.clone()
    expected = layers(x, rope, theirs, 9)
    found = layers.one_token(layers, x, rope, cache, 9)
    assert found is not None and torch.equal(found, expected) and torch.equal(cache, theirs)


@torch.no_grad()
def test_the_layers_do_what_torch_does() -> None:
    """Without kernels."""
    layers = made()
    x, rope, cache = inputs()
    found = layers.one_token(layers, x, rope, cache.clone(), 9)
    wide = Layers().double().eval()
    wide.load_state_dict(layers.state_dict())
    expected = wide(x.double(), tuple(t.double() for t in rope), cache.double(), 9)
    assert found is not None
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_weights_that_change() -> None:
    layers = made()
    x, rope, cache = inputs()
    before = layers.one_token(layers, x, rope, cache, 9)
    layers.attn.out.weight.mul_(2)
    in_place = layers.one_token(layers, x, rope, cache, 9)
    assert not torch.equal(before, in_place) and torch.equal(in_place, layers(x, rope, cache, 9))
    layers.mlp.down.weight = nn.Parameter(torch.randn_like(layers.mlp.down.weight))
    replaced = layers.one_token(layers, x, rope, cache, 9)
    assert not torch.equal(in_place, replaced) and torch.equal(replaced, layers(x, rope, cache, 9))
    quantize_layer(layers, "mlp.down", layers.mlp.down.weight, "int8", torch.float32)
    packed = layers.one_token(layers, x, rope, cache, 9)
    assert not torch.equal(packed, replaced) and torch.equal(packed, layers(x, rope, cache, 9))
    layers.attn.q.weight = nn.Parameter(layers.attn.q.weight.clone())  # no longer joined with the others
    assert layers.one_token(layers, x, rope, cache, 9) is None


@pytest.mark.parametrize("config", [{"qk_norm": True}, {"act": "gelu"}, {"hidden": 64}])
@torch.no_grad()
def test_what_it_does_not_compute(config: dict[str, Any]) -> None:
    layers = made(**config)
    assert layers.one_token(layers, *inputs(), 9) is None


@torch.no_grad()
def test_where_the_layers_are_needed() -> None:
    layers, (x, rope, cache) = made(), inputs()
    assert layers.one_token(layers, x, rope, cache, 9) is not None
    assert layers.one_token(layers, x.bfloat16(), None, cache.bfloat16(), 9) is None
    assert layers.one_token(layers, x, rope, cache.bfloat16(), 9) is None
    with torch.enable_grad():
        assert layers.one_token(layers, x, rope, cache, 9) is None
    layers.attn.out.exchange = Single()  # as one that asks other ranks
    assert layers.one_token(layers, x, rope, cache, 9) is None
