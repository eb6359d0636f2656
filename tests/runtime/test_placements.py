"""Any placement gives the local result bit for bit: ranks are threads."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from mmm_graph.graph.graph import Graph, Loop
from mmm_graph.plan.place import make_plan
from mmm_graph.runtime.engine import Request
from tests.runtime.graphs import HALVING, INSIDE, NESTED
from tests.runtime.toys import DIFFUSION, denoiser_parts, toy_engine, toy_graph, toy_registry

REGISTRY = toy_registry()


def random_placement(
    rng: random.Random, ranks: int, num_parts: int
) -> dict[str, list[tuple[list[int], int, int]]]:
    cuts = sorted(rng.sample(range(1, num_parts), rng.randint(0, 3)))
    bounds = zip([0, *cuts], [*cuts, num_parts], strict=True)
    whole = {m: [([rng.randrange(ranks)], 0, 1)] for m in ("text", "vae")}
    return {"unet": [([rng.randrange(ranks)], a, b) for a, b in bounds], **whole}


def floating(graph: Graph) -> list[str]:
    return [n.path for n in graph.walk() if not isinstance(n, Loop)]


def run(graphs: Mapping[str, Graph], inputs: Mapping[str, Any], plan: Any) -> dict[str, Any]:
    first = next(iter(graphs.values()))
    engine = toy_engine(first, REGISTRY, cache_bytes=0)
    requests = [Request(k, inputs, (i,), None, g) for i, (k, g) in enumerate(graphs.items())]
    found = engine.run(first, requests, plan=plan)
    return {f"{k}.{name}": v for k, r in found.items() for name, v in r.values.items()}


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.dist
@pytest.mark.parametrize("seed", range(12))
def test_denoiser_slices(seed: int) -> None:
    rng = random.Random(seed)
    graphs = {k: toy_graph(DIFFUSION, REGISTRY, steps=n) for k, n in (("a", 4), ("b", 2), ("c", 5))}
    branches = rng.choice(["batched", "turn"])
    inputs = {"prompt": ["hello", "there"]}
    local = run(graphs, inputs, make_plan(graphs["a"], REGISTRY, branches=branches))
    placement = random_placement(rng, 2 + seed % 2, len(denoiser_parts(graphs["a"].models["unet"].config)))
    plan = make_plan(graphs["a"], REGISTRY, placement, branches=branches)
    assert_same(run(graphs, inputs, plan), local)


@pytest.mark.dist
@pytest.mark.parametrize("text", [HALVING, NESTED, INSIDE])
@pytest.mark.parametrize("seed", range(5))
def test_loops_until(text: str, seed: int) -> None:
    rng = random.Random(seed)
    graph = toy_graph(text, REGISTRY)
    inputs = {"x": torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(seed))}
    local = run({"a": graph, "b": graph}, inputs, None)
    nodes = {path: rng.randrange(3) for path in floating(graph)}
    assert_same(run({"a": graph, "b": graph}, inputs, make_plan(graph, REGISTRY, nodes=nodes)), local)


@pytest.mark.dist
@pytest.mark.parametrize("given", [{"prompt": ["a", "b"], "negative": []}, {"prompt": []}])
def test_what_is_there_in_the_first_turn_only(given: dict[str, Any]) -> None:
    """Without the other branch there is no update: the latents of the first turn are there, later ones are not."""
    graph = toy_graph(DIFFUSION, REGISTRY)
    placement = {"unet": [([0], 0, 3), ([1], 3, 6)]}
    plan = make_plan(graph, REGISTRY, placement, nodes={"denoise/pred": 1}, branches="turn")
    for who in (None, plan):
        engine = toy_engine(graph, REGISTRY, cache_bytes=0)
        found = engine.run(graph, [Request("a", given)], plan=who)["a"]
        assert not found.values and "has no rows" in found.absent["image"]
