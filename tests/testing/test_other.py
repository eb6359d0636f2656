"""Datasets, optimisers and composites that are not what they declare."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType, optim_type
from mmm_graph.testing import check_node
from tests.testing.toys import OptimConfig, composite, data, expand_badly

BAD: dict[str, tuple[NodeType, str]] = {
    "column shape": (data("Squares", x="Embeds[b,4]", name="Text[b]"), r"says 4 where it has 3"),
    "column name": (data("Squares", x="Embeds[b,3]"), r"has \['name', 'x'\]; declared are \['x'\]"),
    "random data": (data("NoisySquares", x="Embeds[b,3]", name="Text[b]"), "global generator of torch"),
    "optim": (optim_type("optim.toy", OptimConfig, "toy_nodes:ascent"), "did not lower the loss"),
    "composite link": (composite(expand_badly), r"links '\$in.y', but only \['x'\] are given"),
    "composite data": (
        composite(lambda c, u, i: {"nodes": {"a": len}, "out": {"y": "a"}}),
        "more than plain data",
    ),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)
