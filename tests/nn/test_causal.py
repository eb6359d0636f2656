"""The layer by itself; models of it are in tests/plugins/mmm_llm."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.fused import fuse
from mmm_graph.nn.kv_cache import make_cache
from mmm_graph.nn.last_token import chosen
from mmm_graph.nn.rope_config import RopeConfig
from mmm_graph.nn.rotary import Rotary, turn

X = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
ROPE = Rotary(RopeConfig(), 4, 10)(torch.arange(6)[None], torch.float32)


def by_hand(layer, x, rope):
    """Each head of queries with its head of keys, by the definition of softmax."""
    q, k, v = (project(x).view(2, 6, -1, 4) for project in (layer.q, layer.k, layer.v))
    q, k = turn(layer.norm_q(q), rope), turn(layer.norm_k(k), rope)
    heads = []
    for n in range(q.shape[2]):
        m = n // layer.group
        scores = q[:, :, n] @ k[:, :, m].transpose(1, 2) / 2.0
        scores = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
        heads.append(scores.softmax(-1) @ v[:, :, m])
    return F.linear(torch.cat(heads, -1), layer.out.weight, layer.out.bias)


@pytest.mark.parametrize(
    "more",
    [
        {"num_kv_heads": 4},
        {"num_kv_heads": 2, "qk_norm": True},
        {"num_kv_heads": 1, "bias": True, "out_bias": True},
    ],
)
@torch.no_grad()
def test_heads_share_keys_in_groups(more):
    layer = CausalAttention(12, 4, head_dim=4, **more)
    want = by_hand(layer, X, ROPE)
    assert torch.allclose(layer(X, ROPE), want, atol=1e-6)
    joined = copy.deepcopy(layer)
    fuse(joined, on_cpu=True)
    assert joined.project.fused is not None and torch.allclose(joined(X, ROPE), want, atol=1e-6)
    cache = make_cache(X, layer.num_kv_heads, 4, 6)
    found = [layer(X[:, :3], tuple(w[:, :3] for w in ROPE), None, cache, 3)]
    for i in range(3, 6):
        found.append(joined(X[:, i : i + 1], tuple(w[:, i : i + 1] for w in ROPE), None, cache, i + 1))
    assert torch.allclose(torch.cat(found, 1), want, atol=1e-6)


@pytest.mark.parametrize("mask", ["none", "one of all texts", "of each text"])
def test_wanted_places_are_as_among_all(mask: str) -> None:
    """Outputs and gradients, also of one token alone; a place may be named twice."""
    layer, places = CausalAttention(12, 4, 2, 4), torch.tensor([[5, 0, 3], [1, 4, 4]])
    near = torch.zeros(2, 1, 6, 6).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
    near[1, :, 3:, 1] = -torch.inf
    bias = {"none": None, "one of all texts": near[:1], "of each text": near}[mask]
    found, want = (x.requires_grad_() for x in (X.clone(), X.clone()))
    some, every = layer(found, ROPE, bias, places=places), chosen(layer(want, ROPE, bias), places)
    torch.testing.assert_close(some, every, rtol=0, atol=1e-6)
    some.square().sum().backward()
    every.square().sum().backward()
    torch.testing.assert_close(found.grad, want.grad, rtol=0, atol=1e-6)
    alone, rope = X[:, :1], tuple(w[:, :1] for w in ROPE)
    twice = layer(alone, rope, places=torch.zeros(2, 2, dtype=torch.long))
    torch.testing.assert_close(twice, layer(alone, rope).expand(-1, 2, -1), rtol=0, atol=1e-6)
