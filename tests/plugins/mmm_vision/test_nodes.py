"""Every node type of mmm_vision keeps what it declares."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.testing import check_node
from mmm_vision.plugin import mmm_register_nodes

SETUPS: dict[str, dict[str, Any]] = {
    "image.grid": {"config": {"columns": 2}},
    "image.hide": {},
    "image.to_mask": {},
    "image.resize": {"config": {"height": 6, "width": 4}},
    "image.preprocess": {"config": {"size": 6}},
    "image.isolate": {"config": {"size": 8, "side": 4, "grain": 3}},
    "image.tiles": {"config": {"size": 4, "pinpoints": [[4, 8], [8, 4]]}},
    "video.frames": {"config": {"num_frames": 3}, "dims": {"f": 5}},
    "video.clips": {"config": {"num_clips": 2}, "dims": {"f": 5}},
    "video.stack": {"dims": {"r": 4}},
    "embeds.pool_frames": {
        "config": {"mode": "concat", "num_frames": 2},
        "values": {"rows": torch.tensor([0, 0, 1, 1])},
    },
    "embeds.mean_frames": {"values": {"rows": torch.tensor([0, 0, 1])}},
    "vae.pixels": {"config": {"channels": 3}, "methods": {"noise": {"height": 4, "width": 6}}},
}


@pytest.mark.parametrize("node", mmm_register_nodes(), ids=lambda node: node.kind)
def test_node_keeps_what_it_declares(node: Any) -> None:
    check_node(node, **SETUPS[node.kind])
