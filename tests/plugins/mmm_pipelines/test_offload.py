"""An imported pipeline whose weights come and go makes the same picture, bit for bit."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import test_stable_diffusion, tiny

pytestmark = [pytest.mark.parity, pytest.mark.dist]

FROM_DISK = {"by": "block", "from": "disk"}
PLANS = {
    "one": {"ranks": 1},
    "patch": {"ranks": 2, "axes": {"unet": {"patch": 2}}},
    "cfg": {"ranks": 2, "axes": {"unet": {"cfg": 2}}},
    "pipe": {"ranks": 2, "pipe": {"unet": 2}},
}
OFFLOAD = {
    "model": True,
    "block": {"unet": "block", "text": "block", "vae": {"by": "block", "ahead": 0}},
    "disk": {"unet": {**FROM_DISK, "ahead": 0}, "text": {"from": "disk"}, "vae": FROM_DISK},
}


def test_the_same_picture(tmp_path):
    folder = tiny.save(
        test_stable_diffusion.pipeline(tmp_path, *test_stable_diffusion.CASES["sd1 pndm"]), tmp_path / "in"
    )
    tree = import_graph(str(folder), tmp_path / "g.yaml", load_registry()).tree
    given = {"prompt": tiny.TEXTS, "height": 16, "width": 24, "steps": 2}

    def image(plan):
        tree["parallel"] = {"plans": {"p": plan}}
        return mmm.load(tree, base=tmp_path, plan="p").run(**given, seed=3)["image"]

    for name, plan in PLANS.items():
        want = image(plan)
        for way, offload in OFFLOAD.items():
            assert torch.equal(image({**plan, "offload": offload}), want), (name, way)
