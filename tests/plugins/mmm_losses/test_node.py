from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmm_graph.testing import check_node
from mmm_losses.node import node_types

NODES = {n.kind: n for n in node_types()}
SCORES = {"logits": torch.arange(16.0).view(2, 8), "labels": torch.tensor([3, 0])}
EXTRA = {"ids.drop": {"config": {"value": 0, "p": 0.5}}, "loss.cross_entropy": {"values": SCORES}}


@pytest.mark.parametrize("kind", NODES)
def test_node_types_keep_their_promises(kind):
    check_node(NODES[kind], **EXTRA.get(kind, {}))


def test_declarations_are_free_of_torch():
    code = "import sys, mmm_losses.plugin as p; p.mmm_register_nodes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
