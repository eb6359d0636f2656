"""Running for training: autograd reaches what is trained, and only that."""

from __future__ import annotations

import torch

from mmm_graph.runtime.engine import Request
from tests.runtime.toys import MODELS, toy_engine, toy_graph

LOSS = (
    """
mmm: 1
inputs: {prompt: "Text[b]", x: "Latents[b,l,3]", t: "Scalar[b]"}
"""
    + MODELS
    + """
nodes:
  cond: {call: text, in: {text: $in.prompt}}
  first: {call: unet.predict, in: {x: $in.x, t: $in.t, cond: {embeds: cond}}}
  loop:
    loop:
      max: 2
      carry: {x: first}
      nodes: {again: {call: unet.predict, in: {x: $carry.x, t: $in.t, cond: {embeds: cond}}}}
      next: {x: again}
  decoded: {call: vae.decode, in: {latents: loop.x}}
  loss: {op: toy.loss, in: {x: loop.x}}
  other: {op: toy.boom, in: {x: $in.x}}
outputs: {loss: loss, decoded: decoded, cond: cond}
"""
)


def test_gradients() -> None:
    graph = toy_graph(LOSS)
    engine = toy_engine(graph, cache_bytes=0)
    unet, text = engine.models["unet"].object, engine.models["text"].object
    inputs = {"prompt": ["hi", "you"], "x": torch.randn(2, 4, 3), "t": torch.ones(2)}
    values = engine.run(graph, [Request("a", inputs)], train=frozenset(("unet",)))["a"].values
    values["loss"].backward()
    assert all(p.grad is not None for p in unet.parameters())
    assert not values["cond"].requires_grad and all(p.grad is None for p in text.parameters())
    assert values["decoded"].requires_grad  # a gradient passes through what is frozen

    embeds = text(inputs["prompt"]).detach()
    x = inputs["x"]
    expected = [torch.zeros_like(p) for p in unet.parameters()]
    for _ in range(3):
        state = {"x": x, "t": inputs["t"], "cond.embeds": embeds}
        for part in unet.parts.values():
            state.update(part(state))
        x = state["pred"]
    expected = torch.autograd.grad(x.pow(2).mean(), list(unet.parameters()))
    for p, g in zip(unet.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, g, atol=1e-6)


def test_without_training_nothing_has_a_gradient() -> None:
    graph = toy_graph(LOSS)
    inputs = {"prompt": ["hi"], "x": torch.randn(1, 4, 3), "t": torch.ones(1)}
    values = toy_engine(graph).run(graph, [Request("a", inputs)])["a"].values
    assert not any(v.requires_grad for v in values.values()) and torch.is_grad_enabled()


def test_a_supplied_value_that_needs_a_gradient() -> None:
    graph = toy_graph(LOSS)
    engine = toy_engine(graph)
    engine.models["unet"].object.requires_grad_(False)
    x = torch.randn(1, 4, 3, requires_grad=True)
    request = Request("a", {"prompt": ["hi"], "x": x, "t": torch.ones(1)})
    engine.run(graph, [request], train=frozenset(("unet",)))["a"].values["loss"].backward()
    assert x.grad is not None
