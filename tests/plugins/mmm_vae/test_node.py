"""The plugin's node types: well formed, and free of torch until something is built."""

import subprocess
import sys

import pytest

from mmm_graph.registry import resolve
from mmm_graph.registry.checks import check_node_type
from mmm_vae.plugin import mmm_register_nodes

NODES = {node.kind: node for node in mmm_register_nodes()}


@pytest.mark.parametrize("kind", NODES)
def test_node_type_is_well_formed_and_resolves(kind):
    check_node_type(NODES[kind])
    builder = resolve(NODES[kind].builder)
    for name, method in NODES[kind].methods.items():
        assert method.path or hasattr(builder, method.attribute or name)


def test_the_plugin_is_free_of_torch():
    code = "import sys, mmm_vae.plugin as p; p.mmm_register_nodes(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
