"""Port kinds of plugins make port types."""

from __future__ import annotations

import pytest

from mmm_graph.registry import PortKind
from mmm_graph.spec.ports import PortType


def test_a_port_kind_makes_port_types() -> None:
    port = PortKind("Skeleton").port("[b,j,3]{coco}?")
    assert isinstance(port, PortType)
    assert (port.kind, port.tag, port.optional, str(port)) == (
        "Skeleton",
        "coco",
        True,
        "Skeleton[b,j,3]{coco}?",
    )
    assert PortKind("Skeleton").port().dims is None


def test_dims_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot read"):
        PortKind("Skeleton").port("[b")
