from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmm_graph.registry import Used, load_registry
from mmm_graph.testing import check_node
from mmm_losses.node import node_types

NODES = {n.kind: n for n in node_types()}
SCORES = {"logits": torch.arange(16.0).view(2, 8), "labels": torch.tensor([3, 0])}
ONE = torch.zeros(2, 6, dtype=torch.int64)
MODELS = load_registry(allow=["mmm-graph"]).models
QFORMER, DECODER = MODELS["adaptor.qformer"], MODELS["llm.decoder"]
EXTRA = {
    "classifier.patch": {"config": {"width": 4, "depth": 1}},
    "ids.drop": {"config": {"value": 0, "p": 0.5}},
    "loss.align": {"values": {"mask": torch.tensor([True, False])}},
    "loss.cross_entropy": {"values": SCORES},
    "loss.itg": {
        "uses": {"qformer": Used("qformer", "adaptor.qformer", QFORMER.config(text=True, head=True))}
    },
    "loss.itm": {"values": {"labels": torch.tensor([1, 0])}},
    "loss.language": {"uses": {"llm": Used("llm", "llm.decoder", DECODER.config(), DECODER.methods)}},
    "loss.next_token_at": {
        "values": {"documents": torch.zeros(2, 6, dtype=torch.int64), "logits": torch.rand(2, 5, 8)}
    },
    "loss.next_token": {"values": {"documents": ONE}},
    "loss.perceptual": {"values": {"pred": [torch.rand(2, 3, 4, 4)], "target": [torch.rand(2, 3, 4, 4)]}},
    "loss.siglip": {"values": {"bias": torch.tensor(-1.0)}},
    "loss.triplet": {"config": {"margin": 9}},
    "loss.triplet_mined": {"config": {"margin": 9}, "values": {"labels": torch.tensor([0, 0, 1, 1])}},
    "pairs.hard_negatives": {"values": {"pair_ids": torch.tensor([3, 4])}},
}


@pytest.mark.parametrize("kind", NODES)
def test_node_types_keep_their_promises(kind):
    check_node(NODES[kind], **EXTRA.get(kind, {}))


def test_declarations_are_free_of_torch():
    code = "import sys, mmm_losses.plugin as p; p.mmm_register_nodes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
