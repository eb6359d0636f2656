from __future__ import annotations

import subprocess
import sys

import pytest

from mmm_graph.testing import check_node
from mmm_losses.node import node_types

NODES = {n.kind: n for n in node_types()}
EXTRA = {"ids.drop": {"config": {"value": 0, "p": 0.5}}}


@pytest.mark.parametrize("kind", NODES)
def test_node_types_keep_their_promises(kind):
    check_node(NODES[kind], **EXTRA.get(kind, {}))


def test_declarations_are_free_of_torch():
    code = "import sys, mmm_losses.plugin as p; p.mmm_register_nodes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
