"""Every node type of mmm_data keeps what it declares."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_data.files.node import file_nodes
from mmm_data.plugin import mmm_register_nodes
from mmm_graph.testing import check_node

pytest.importorskip("sklearn")

LABEL = torch.arange(2)
SETUPS: dict[str, dict[str, Any]] = {
    "data.digits": {"config": {"split": "test", "size": 12, "repeat": 2, "shift": 0.3}},
    "data.digit_prompts": {"config": {"per_class": 2}},
    "data.digit_canvas": {"config": {"split": "test", "length": 6, "size": 16}},
    "data.digit_questions": {"config": {"split": "test", "length": 6, "size": 16}},
    "data.digit_world": {"config": {"split": "test", "length": 6, "size": 16}},
    "metric.tone_digit": {"dims": {"n": 1024}, "values": {"label": LABEL}},
    "metric.motion": {"values": {"label": LABEL}},
    "metric.moving_digit": {"config": {"size": 16}, "values": {"label": LABEL}},
    "metric.digit_accuracy": {"values": {"label": LABEL}},
    "metric.nearest_neighbour": {"config": {"size": 16, "shift": 0}},
    "metric.psnr": {},
    "metric.accuracy": {"values": {"label": LABEL}},
    "metric.exact_match": {"values": {"text": ["a", "b"], "target": ["a", "c"]}},
    "metric.digit_world": {
        "config": {"medium": "audio"},
        "dims": {"r": 2},
        "values": {"digit": LABEL, "move": LABEL, "made": torch.randn(2, 1, 1024), "rows": LABEL},
    },
    "metric.digit_said": {"values": {"text": ["a", "b"], "answer": ["a", "c"]}},
    "metric.every": {"values": {"of": [LABEL > 0, LABEL > 0]}},
    "metric.recall_at_k": {"dims": {"v": 2}},
}


OF_FILES = {node.kind for node in file_nodes()}
"""These need files: files/test_node.py."""


@pytest.mark.parametrize(
    "node", [n for n in mmm_register_nodes() if n.kind not in OF_FILES], ids=lambda node: node.kind
)
def test_node_keeps_what_it_declares(node: Any) -> None:
    check_node(node, **SETUPS[node.kind])
