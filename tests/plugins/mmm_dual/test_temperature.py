"""The learned scale and bias, and where they stand in files."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_dual.config import TemperatureConfig
from mmm_dual.foreign import LAYOUTS
from mmm_dual.temperature import Temperature
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError

SIGLIP = TemperatureConfig(init=0.1, max=None, bias=-10)


def test_the_start() -> None:
    got = Temperature(TemperatureConfig())()
    assert got["scale"].item() == pytest.approx(1 / 0.07, rel=1e-6) and got["bias"] is None
    got = Temperature(SIGLIP)()
    assert got["scale"].item() == pytest.approx(10) and got["bias"].item() == -10


def test_training_does_not_pass_the_bound_and_comes_back() -> None:
    net = Temperature(TemperatureConfig(init=1 / 99.9)).train()
    optim = torch.optim.SGD(net.parameters(), lr=1e-3)
    for sign in (-1, -1, -1, 1):  # up, up, up, down
        optim.zero_grad()
        scale = net()["scale"]
        assert scale.item() <= 100.001
        (sign * scale).backward()
        optim.step()
    assert net.log_scale.item() < math.log(100)
    with torch.no_grad():
        net.log_scale.fill_(5.0)
    assert net.eval()()["scale"].item() == pytest.approx(math.exp(5))  # what a file says is taken as it is


PLAIN = TemperatureConfig()
FILES = {
    "CLIPModel": (PLAIN, {"logit_scale": (), "text_model.a.weight": (2,), "visual_projection.weight": (2,)}),
    "SiglipModel": (SIGLIP, {"logit_scale": (1,), "logit_bias": (1,), "vision_model.b": (3,)}),
    "OpenCLIP": (
        PLAIN,
        {"logit_scale": (), "visual.proj": (2,), "transformer.x": (1,), "ln_final.bias": (2,)},
    ),
    "OpenCLIP's SigLIP": (SIGLIP, {"logit_scale": (), "logit_bias": (), "text.x": (2,), "visual.y": (1,)}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_with_both_towers(tmp_path, name) -> None:
    config, shapes = FILES[name]
    tensors = {n: torch.full(shape, float(i) + 1) for i, (n, shape) in enumerate(shapes.items())}
    save_file(tensors, tmp_path / "a.safetensors")
    net = Temperature(config)
    load_module(net, open_checkpoint(tmp_path / "a.safetensors"), layouts=LAYOUTS, config=config)
    assert net.log_scale.item() == 1 and (net.bias is None or net.bias.item() == 2)
    layout = next(layout for layout in LAYOUTS if ("Open" in name) == ("Open" in layout.name))
    save_foreign(net, tmp_path / "b.safetensors", layout, config)
    again = load_file(tmp_path / "b.safetensors")
    assert again.keys() == {n for n in tensors if n.startswith("logit")}
    assert all(torch.equal(value, tensors[n]) for n, value in again.items())


def test_a_bias_is_not_dropped(tmp_path) -> None:
    save_file({"logit_scale": torch.ones(1), "logit_bias": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match=r"E610.*1 not used \(logit_bias\)"):
        load_module(
            Temperature(TemperatureConfig()), open_checkpoint(tmp_path / "a.safetensors"), layouts=LAYOUTS
        )
