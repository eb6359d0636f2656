"""Node types are frozen values made from text; references resolve at first use only."""

from __future__ import annotations

import dataclasses

import pytest

from mmm_graph.config import Empty
from mmm_graph.registry import (
    GuidanceConfig,
    SamplerConfig,
    composite_type,
    method,
    model_type,
    op_type,
    resolve,
    sampler_type,
)
from mmm_graph.spec.ports import parse_port


def test_ports_are_parsed_in_order_and_may_have_any_name() -> None:
    made = method(x="Embeds[b,l,d]", ports={"config": "Any"}, returns={"y": "Ids[b]", "z": "Mask[b]?"})
    assert made.inputs == {"config": parse_port("Any"), "x": parse_port("Embeds[b,l,d]")}
    assert list(made.returns) == ["y", "z"]
    assert made.returns["z"].optional
    with pytest.raises(ValueError, match="unknown kind 'Embed'"):
        method(x="Embed[b]", returns={})


def test_a_model_kind_needs_a_known_role() -> None:
    for kind in ("gadget.x", "adaptor", "adaptor."):
        with pytest.raises(ValueError, match=r"must be role\.name with a role of adaptor, classifier"):
            model_type(kind, Empty, "a:B", methods={})


def test_types_are_frozen_and_name_what_is_not_there_yet() -> None:
    node = op_type(
        "loss.x", "no_such_module_xyz:f", x="Any", returns={"y": "Any"}, uses={"sampler": "sampler"}
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.kind = "loss.y"  # type: ignore[misc]
    with pytest.raises(ModuleNotFoundError, match="no_such_module_xyz"):
        resolve(node.function)
    with pytest.raises(AttributeError, match="no_such_name"):
        resolve("json:no_such_name")


def test_samplers_have_no_methods_and_no_weights() -> None:
    node = sampler_type("sampler.x", SamplerConfig, "a:B")
    assert (dict(node.methods), node.weights) == ({}, False)
    assert SamplerConfig().evaluations(7) == 7
    assert GuidanceConfig().branches() == ("cond",)


def test_a_composite_keeps_its_function() -> None:
    node = composite_type("llm.x", lambda config, uses, inputs: {"out": sorted(inputs)}, x="Any", y="Any?")
    assert node.expand(None, {}, frozenset(node.inputs)) == {"out": ["x", "y"]}
