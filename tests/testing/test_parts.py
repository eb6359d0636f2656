"""The table of parts against the modules."""

from __future__ import annotations

import pytest

from mmm_graph.registry import ModelType, NodeType, Part, Sharding
from mmm_graph.testing import check_node
from mmm_graph.testing.parts import check_sharding
from tests.testing.toys import PARTS, parts

BAD: dict[str, tuple[NodeType, str]] = {
    "part order": (parts(*reversed(PARTS)), r"lists \['head', 'embed'\], the model has \['embed', 'head'\]"),
    "part size": (
        parts(PARTS[0], Part("head", ("h",), ("pred",), 12)),
        "part head says 12 weights and has 15",
    ),
    "part reads": (
        parts(Part("embed", ("x",), ("h",), 36), PARTS[1]),
        "part embed reads 'mask'; declared are x",
    ),
    "part unread": (parts(PARTS[0], Part("head", ("h", "x"), ("pred",), 15)), "declares that it reads 'x'"),
    "part writes": (parts(PARTS[0], Part("head", ("h",), ("out",), 15)), r"part head wrote \['pred'\]"),
    "sizes": (
        parts(PARTS[0], Part("head", ("h",), ("pred",), 15, sizes={"pred": 3, "out": 3})),
        "part head gives a size for 'out', which it does not write",
    ),
    "unit of no method": (
        parts(sharding=Sharding({"decode": 1})),
        "cuts 'decode' at multiples of 1; expected one of predict",
    ),
    "unit of no rows": (parts(sharding=Sharding({"predict": 0})), "cuts 'predict' at multiples of 0"),
    "joint": (
        parts(sharding=Sharding({"predict": 2}, joint=("text",))),
        "joint tokens 'text', which no part writes",
    ),
    "outside": (parts(cls="OutsidePart"), "'extra.weight' belongs to no part"),
    "path": (parts(path=("embed", "tail")), "the path names 'tail', which is no part"),
    "short path": (parts(path=("embed",)), "no part of the path writes the output 'pred'"),
}


def test_what_is_true_about_sharding_passes() -> None:
    node = parts(sharding=Sharding({"predict": 2}, 4, {"ring": "why"}, ("h",)))
    assert isinstance(node, ModelType)
    check_sharding(node, node.config())


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)
