"""import -> export -> diffusers: every tensor of every model is the same again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import test_dit, test_flux, test_sd3, test_sdxl, test_stable_diffusion, tiny

pytestmark = pytest.mark.parity

PIPELINES = {
    "sd": lambda folder: test_stable_diffusion.pipeline(folder, *test_stable_diffusion.CASES["sd2 v"]),
    "sdxl": lambda folder: test_sdxl.pipeline(folder, *test_sdxl.CASES["as released"]),
    "sd3": lambda folder: test_sd3.pipeline(folder, test_sd3.CASES["sd3.5 medium"]),
    "flux": lambda folder: test_flux.pipeline(folder, *test_flux.CASES["dev"]),
    "dit": lambda folder: test_dit.dit(*test_dit.DIT["learned sigma"]),
    "pixart": lambda folder: test_dit.pixart(*test_dit.PIXART["sigma"]),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_all_tensors_come_back(name, tmp_path):
    pipeline = PIPELINES[name](tmp_path)
    folder = tiny.save(pipeline, tmp_path / "in")
    made = import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    mmm.load(made.tree, base=tmp_path).export(tmp_path / "out")
    again = type(pipeline).from_pretrained(tmp_path / "out")
    seen = 0
    for part, module in pipeline.components.items():
        if isinstance(module, nn.Module):
            old, new = module.state_dict(), again.components[part].state_dict()
            assert old.keys() == new.keys()
            assert all(torch.equal(value, new[key]) for key, value in old.items())
            seen += len(old)
    assert seen > 20 and type(again.scheduler) is type(pipeline.scheduler)
