"""Projections joined in one product give what they give apart, and their weights stay their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.beside import AttentionBesideMlp
from mmm_graph.nn.fused import Fused, Projections, fuse
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.kept import find_kept

X, TEXT = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
WAVES = (torch.ones(5, 4), torch.zeros(5, 4))
LAYERS = {
    "attention": (lambda: Attention(16, 2), lambda layer: layer(X)),
    "cross": (lambda: CrossAttention(16, 16, 2), lambda layer: layer(X, TEXT)),
    "joint": (lambda: JointAttention(16, 2), lambda layer: torch.cat(layer(X, TEXT), 1)),
    "beside": (lambda: AttentionBesideMlp(16, 2, 3), lambda layer: layer(X, 2, WAVES)),
}


def projections(module: nn.Module) -> list[Projections]:
    return [v for layer in module.modules() for v in vars(layer).values() if isinstance(v, Projections)]


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_the_same_numbers(name, monkeypatch):
    make, run = LAYERS[name]
    layer = make()
    apart, names = run(layer), dict(layer.state_dict())
    fuse(layer)
    for kept in find_kept(layer):
        kept.forget()
    used = []
    monkeypatch.setattr(
        Fused, "__call__", lambda self, x, call=Fused.__call__: used.append(1) or call(self, x)
    )
    assert (run(layer) - apart).abs().max() < 1e-6
    assert len(used) == len(projections(layer)) > 0
    assert all(torch.equal(names[n], w) for n, w in layer.state_dict().items()) and len(names) == len(
        layer.state_dict()
    )


@torch.no_grad()
def test_weights_that_were_replaced_are_not_missed():
    layer = Attention(16, 2)
    fuse(layer)
    layer.q.weight.add_(1.0)  # in place: both see it
    changed = layer(X)
    layer.double()
    assert (layer(X.double()) - changed).abs().max() < 1e-4
    assert layer.project.fused is not None and not layer.project.fused.holds([layer.q, layer.k, layer.v])


@torch.no_grad()
def test_one_weight_that_was_replaced_is_not_missed():
    layer = Attention(16, 2)
    fuse(layer)
    layer.v.weight = nn.Parameter(torch.zeros(16, 16))
    layer.v.bias = nn.Parameter(torch.zeros(16))
    assert torch.equal(layer(X), layer.out.bias.expand(2, 5, 16))


def test_gradients_reach_the_weights():
    layer = Attention(16, 2)
    fuse(layer)
    layer(X).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in (layer.q.weight, layer.v.bias))


def test_a_layer_of_another_class_stays_apart():
    class Other(nn.Linear):
        pass

    layer = Attention(16, 2)
    layer.k = Other(16, 16)
    fuse(layer)
    assert layer.project.fused is None


@torch.no_grad()
def test_on_a_cpu_only_those_are_joined_that_gain_from_it():
    layers = nn.ModuleList([Attention(16, 2), GatedUnit(16, 8)])
    fuse(layers, on_cpu=True)
    assert [layer.project.fused is None for layer in layers] == [True, False]


@torch.no_grad()
def test_side_by_side_is_what_each_makes():
    layer = Attention(16, 2)
    apart = torch.cat(layer.project(layer, X), -1)
    assert torch.equal(layer.project.together(layer, X), apart)
    fuse(layer)
    assert (layer.project.together(layer, X) - apart).abs().max() < 1e-6
