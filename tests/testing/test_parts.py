"""The table of parts against the modules."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType, Part
from mmm_graph.testing import check_node
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
    "outside": (parts(cls="OutsidePart"), "'extra.weight' belongs to no part"),
    "path": (parts(path=("embed", "tail")), "the path names 'tail', which is no part"),
    "short path": (parts(path=("embed",)), "no part of the path writes the output 'pred'"),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)
