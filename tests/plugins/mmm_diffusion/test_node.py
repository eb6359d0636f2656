from __future__ import annotations

import subprocess
import sys

import pytest

from mmm_diffusion.node import node_types
from mmm_graph.registry import Used, resolve
from mmm_graph.testing import check_node

NODES = {n.kind: n for n in node_types()}


@pytest.mark.parametrize("kind", [k for k in NODES if k.startswith("scheduler.")])
def test_schedulers_keep_their_promises(kind):
    times = resolve(NODES[kind].builder)(NODES[kind].config()).times
    given = times(NODES[kind].methods["times"].config(steps=4))
    check_node(NODES[kind], methods={"times": {"steps": 4}}, values={"times": given})


@pytest.mark.parametrize(
    "kind", [k for k in NODES if k.startswith("sampler.") and k not in ("sampler.init", "sampler.step")]
)
def test_samplers_keep_their_promises(kind):
    check_node(NODES[kind])


def test_the_composite_keeps_its_promises():
    from mmm_graph.config import Empty

    configs = {
        "denoiser": Empty(),
        "sampler": NODES["sampler.ddim"].config(),
        "guidance": NODES["guidance.none"].config(),
    }
    check_node(NODES["diffusion.denoise"], uses={r: Used(r, f"{r}.any", v) for r, v in configs.items()})


def test_everything_is_described():
    for node in node_types():
        assert node.doc, node.kind
        resolve(
            getattr(node, "builder", None)
            or getattr(node, "function", None)
            or "mmm_diffusion.denoise:expand"
        )
    assert all(
        NODES[k].source
        for k in NODES
        if k.startswith(("scheduler.", "sampler.")) and hasattr(NODES[k], "builder")
    )


def test_declarations_are_free_of_torch():
    code = "import sys, mmm_diffusion.plugin as p; p.mmm_register_nodes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
