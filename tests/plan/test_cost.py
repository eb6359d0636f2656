"""Weights and work from the parts tables."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.graph.graph import Call
from mmm_graph.plan.cost import call_flops, parts_of, weight_bytes
from tests.plan.helpers import REGISTRY
from tests.runtime.toys import toy_graph


def test_bytes_follow_the_dtype() -> None:
    model = toy_graph().models["unet"]
    kind = REGISTRY.models["denoiser.toy"]
    assert weight_bytes(model, kind) == (32 + 4 * 64 + 24) * 4
    assert weight_bytes(replace(model, dtype="bf16"), kind) == (32 + 4 * 64 + 24) * 2


def test_flops_of_a_path() -> None:
    graph = toy_graph()
    call = graph.node("denoise/pc")
    assert isinstance(call, Call)
    assert call_flops(call, graph.models["unet"], REGISTRY.models["denoiser.toy"]) == 4e6 + 2e5


def test_a_model_without_a_table_is_one_part() -> None:
    graph = toy_graph()
    assert len(parts_of(graph.models["vae"], REGISTRY.models["vae.toy"])) == 1
    assert weight_bytes(graph.models["vae"], REGISTRY.models["vae.toy"]) == 0
