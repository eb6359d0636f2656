"""Weights and work from the parts tables."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.graph.graph import Call
from mmm_graph.plan.cost import bytes_of, call_flops, parts_of, weight_bytes
from mmm_graph.registry import Part
from tests.plan.helpers import REGISTRY
from tests.runtime.toys import toy_graph


def test_bytes_follow_the_dtype() -> None:
    model = toy_graph().models["unet"]
    kind = REGISTRY.models["denoiser.toy"]
    assert weight_bytes(model, kind) == (32 + 4 * 64 + 24) * 4
    assert weight_bytes(replace(model, dtype="bf16"), kind) == (32 + 4 * 64 + 24) * 2


def test_quantized_bytes_are_those_of_linear_layers() -> None:
    model = toy_graph().models["unet"]
    parts = (Part("table", (), (), params=100), Part("block", (), (), params=330, linear=320))
    parts += (Part("head", (), (), params=50, linear=50, logits=40),)
    assert bytes_of(model, parts) == 480 * 4
    assert bytes_of(replace(model, quantize="int8"), parts) == 110 * 4 + 370
    assert bytes_of(replace(model, quantize="int4", dtype="bf16"), parts) == 110 * 2 + 200 + 6 + 40


def test_flops_of_a_path() -> None:
    graph = toy_graph()
    call = graph.node("denoise/pc")
    assert isinstance(call, Call)
    assert call_flops(call, graph.models["unet"], REGISTRY.models["denoiser.toy"]) == 4e6 + 2e5


def test_a_model_without_a_table_is_one_part() -> None:
    graph = toy_graph()
    assert len(parts_of(graph.models["vae"], REGISTRY.models["vae.toy"])) == 1
    assert weight_bytes(graph.models["vae"], REGISTRY.models["vae.toy"]) == 0
