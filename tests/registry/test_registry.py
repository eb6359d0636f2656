"""The merged tables: lookups, formats, digests, and conflicts of things that are not node types."""

from __future__ import annotations

import dataclasses

import pytest

from mmm_graph.registry import PluginInfo, PortKind, Saver, op_type, registry_of
from mmm_graph.registry.registry import Contribution, merge

DOUBLE = op_type("math.double", "pkg.ops:double", x="Scalar[]", returns={"y": "Scalar[]"})


def test_registry_of_offers_what_it_is_given() -> None:
    registry = registry_of(DOUBLE, port_kinds=[PortKind("Mesh")], savers=[Saver("obj", "Mesh", "a:b")])
    assert registry.get("math.double") is DOUBLE
    assert registry.kinds() == registry.kinds("math") == ("math.double",)
    assert registry.kinds("loss") == ()
    assert registry.formats("Mesh") == ("obj",)
    assert "Mesh" in registry.known_port_kinds
    assert "Image" in registry.known_port_kinds
    assert registry.owner("math.double").name == "inline"


def test_an_unknown_kind_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=r"math\.triple"):
        registry_of(DOUBLE).get("math.triple")
    with pytest.raises(KeyError, match=r"math\.triple"):
        registry_of(DOUBLE).owner("math.triple")


def test_a_registry_is_frozen() -> None:
    registry = registry_of(DOUBLE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry.ops = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        registry.ops["x.y"] = DOUBLE  # type: ignore[index]


def test_savers_of_one_format_and_kind_conflict() -> None:
    saver = Saver("png", "Image", "a:b")
    infos = [PluginInfo(n, f"mmm-{n}", "1", n, kinds=("saver Image.png",)) for n in ("one", "two")]
    registry = merge(Contribution(info, savers=(saver,)) for info in infos)
    assert registry.savers == {}
    assert registry.conflicts == {"saver Image.png": tuple(infos)}
    assert "one (mmm-one 1) and two (mmm-two 1)" in registry.problems[0].message
