"""Every node type of mmm_vision keeps what it declares."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.testing import check_node
from mmm_vision.plugin import mmm_register_nodes

SETUPS: dict[str, dict[str, Any]] = {
    "image.grid": {"config": {"columns": 2}},
    "image.hide": {},
    "image.to_mask": {},
    "image.resize": {"config": {"height": 6, "width": 4}},
    "vae.pixels": {"config": {"channels": 3}, "methods": {"noise": {"height": 4, "width": 6}}},
}


@pytest.mark.parametrize("node", mmm_register_nodes(), ids=lambda node: node.kind)
def test_node_keeps_what_it_declares(node: Any) -> None:
    check_node(node, **SETUPS[node.kind])
