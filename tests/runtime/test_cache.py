"""What is kept, what it is kept under, and what goes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from mmm_graph.graph.graph import Graph
from mmm_graph.plan.flow import Flow
from mmm_graph.registry import op_type, registry_of
from mmm_graph.runtime.cache import Cache, Keys
from tests.runtime.toys import LATENTS, toy_engine, toy_graph, toy_registry

REGISTRY = toy_registry()


def test_least_recently_used_goes_first() -> None:
    cache = Cache(3 * (400 + 256))
    for name in "abc":
        cache.put(name, torch.zeros(100))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(100))
    assert cache.get("b") is None and cache.get("a") is not None and cache.get("d") is not None
    assert cache.used_bytes <= cache.budget_bytes
    cache.put("huge", torch.zeros(10000))
    assert cache.get("huge") is None and cache.get("a") is not None


def keys(graph: Graph, seed: int = 0, **start: Any) -> Keys:
    given = {"$in.prompt": "p", "$in.negative": "n", **start}
    models = toy_engine(graph).models
    return Keys(Flow(graph), REGISTRY, models, given, ((seed,), (0,)), "cpu")


def test_keys_follow_what_the_numbers_depend_on() -> None:
    graph = toy_graph()
    a, b = keys(graph), keys(graph, seed=1)
    assert a.node("cond") == b.node("cond") is not None
    assert (
        a.node("noise") != b.node("noise")
        and a.node("image") != b.node("image")
        and a.node("denoise") != b.node("denoise")
    )
    other = keys(graph, **{"$in.prompt": "q"})
    assert other.node("cond") != a.node("cond") and other.node("uncond") == a.node("uncond")
    assert other.node("denoise") != a.node("denoise")


def test_keys_follow_configs_counts_and_models() -> None:
    a, b = keys(toy_graph(steps=3)), keys(toy_graph(steps=4))
    assert a.node("cond") == b.node("cond") and a.node("denoise") != b.node("denoise")
    graph = toy_graph(steps=3)
    models = {**graph.models, "unet": replace(graph.models["unet"], dtype="f64")}
    c = keys(replace(graph, models=models))
    assert c.node("denoise") != a.node("denoise") and c.node("noise") == a.node("noise")


def test_what_cannot_be_kept() -> None:
    unknown = keys(toy_graph(), **{"$in.prompt": None})
    assert (
        unknown.node("cond") is None and unknown.node("image") is None and unknown.node("uncond") is not None
    )


def test_an_op_that_is_not_pure() -> None:
    registry = registry_of(
        op_type("toy.now", "tests.runtime.toys:double", pure=False, x=LATENTS, returns={"y": LATENTS})
    )
    graph = toy_graph(
        'mmm: 1\ninputs: {x: "Latents[b,l,3]"}\nnodes: {n: {op: toy.now, in: {x: $in.x}}}\noutputs: {y: n}\n',
        registry,
    )
    assert Keys(Flow(graph), registry, {}, {"$in.x": "x"}, (), "cpu").node("n") is None
