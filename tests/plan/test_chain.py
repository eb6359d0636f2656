"""Methods that are paths through parts, cut where the rank changes."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.chain import segments
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Part, method, model_type, registry_of
from tests.plan.helpers import REGISTRY
from tests.runtime.toys import DenoiserConfig, toy_graph


def test_one_rank_is_one_segment() -> None:
    graph = toy_graph()
    node = graph.node("denoise/pc")
    (only,) = segments(node, graph, REGISTRY, make_plan(graph, REGISTRY), {"pred"})
    assert only.fn == ("slice", "denoise/pc", 0, 6) and only.writes == ("pred",)
    assert only.reads == ("x", "t", "cond.embeds")


def test_dead_keys_do_not_leave_a_segment() -> None:
    graph = toy_graph()
    plan = make_plan(graph, REGISTRY, {"unet": [([0], 0, 5), ([1], 5, 6)]})
    first, second = segments(graph.node("denoise/pc"), graph, REGISTRY, plan, {"pred"})
    assert set(first.writes) == {"h", "temb"}  # the skip was read inside
    assert second.reads == ("h", "temb") and second.team[0].rank == 1 and first.cost > second.cost


def test_a_rank_that_comes_twice() -> None:
    graph = toy_graph()
    plan = make_plan(graph, REGISTRY, {"unet": [([0], 0, 2), ([1], 2, 4), ([0], 4, 6)]})
    chain = segments(graph.node("denoise/pc"), graph, REGISTRY, plan, {"pred"})
    assert [s.team[0].rank for s in chain] == [0, 1, 0]
    assert "cond.embeds" in chain[2].reads and "skip" in chain[2].reads and "skip" not in chain[1].writes


def test_a_python_method_needs_its_model_in_one_place() -> None:
    registry = registry_of(
        *[t for k, t in REGISTRY.models.items() if k != "vae.toy"],
        *REGISTRY.ops.values(),
        model_type(
            "vae.toy",
            DenoiserConfig,
            "x:y",
            parts=lambda c: [Part("a", (), ()), Part("b", (), ())],
            methods={"decode": method(latents="Latents[b,l,3]", returns={"image": "Embeds[b,l,2]"})},
        ),
    )
    graph = toy_graph(registry=registry)
    plan = make_plan(graph, registry, {"vae": [([0], 0, 1), ([1], 1, 2)]})
    with pytest.raises(InputError, match=r"E504.*image needs vae whole"):
        segments(graph.node("image"), graph, registry, plan, {"image"})


def test_a_path_that_does_not_make_its_port() -> None:
    registry = registry_of(
        *[t for k, t in REGISTRY.models.items() if k != "vae.toy"],
        *REGISTRY.ops.values(),
        model_type(
            "vae.toy",
            DenoiserConfig,
            "x:y",
            parts=lambda c: [Part("a", ("latents",), ("h",))],
            methods={
                "decode": method(
                    latents="Latents[b,l,3]", returns={"image": "Embeds[b,l,2]"}, path=lambda c, n: ["a"]
                )
            },
        ),
    )
    graph = toy_graph(registry=registry)
    with pytest.raises(InputError, match=r"E505.*vae.decode writes image"):
        segments(graph.node("image"), graph, registry, make_plan(graph, registry), {"image"})
