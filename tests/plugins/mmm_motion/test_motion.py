"""Motion modules attached to the U-Net over frames, against diffusers' UNetMotionModel."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import MmmError
from mmm_motion.config import MotionConfig
from mmm_motion.foreign import LAYOUTS, read_adapter
from mmm_motion.model import Motion
from mmm_motion.parts import motion_parts

SIZES = {"block_out_channels": (16, 32), "norm_num_groups": 8, "cross_attention_dim": 12, "sample_size": 8}
MOVES = {"motion_num_attention_heads": 4, "motion_max_seq_length": 6}
GRAPH = """
mmm: 1
inputs: {{x: "Latents[b,4,f,h,w]", t: "Scalar[b]", cond: "Embeds[b,t,12]"}}
models:
  motion: {{kind: adaptor.motion, {motion}}}
  unet: {{kind: {kind}, {unet}, attach: [{attach}]}}
nodes:
  out: {{call: unet.predict, in: {{x: $in.x, t: $in.t, cond: {{embeds: $in.cond}}}}}}
outputs: {{pred: out}}
"""
ATTACH = "{model: motion, at: parts}"
MOTION = "{channels: [16, 32], groups: 8, num_heads: 4, max_frames: 6}"
UNET = "{channels: [16, 32], groups: 8, num_heads: 2, attention: [cross, none], cond_dim: 12, sample_size: 8}"


def reference(layers=2, mid=True):
    from diffusers import UNetMotionModel

    torch.manual_seed(0)
    net = UNetMotionModel(
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        layers_per_block=layers, num_attention_heads=2, use_motion_mid_block=mid, **SIZES, **MOVES,
    )  # fmt: skip
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return net.eval()


def graph(motion="init: default", unet="init: default", kind="denoiser.unet_frames", attach=ATTACH):
    return GRAPH.format(motion=motion, unet=unet, kind=kind, attach=attach)


def inputs(frames=3):
    g = torch.Generator().manual_seed(1)
    x, cond = torch.randn(2, 4, frames, 8, 8, generator=g), torch.randn(2, 5, 12, generator=g)
    return {"x": x, "t": torch.tensor([3.0, 977.0]), "cond": cond}


@pytest.mark.parity
@pytest.mark.parametrize(("layers", "mid"), [(2, True), (1, False)], ids=["v2", "v1"])
def test_the_prediction_is_that_of_diffusers(tmp_path, layers, mid):
    net = reference(layers, mid)
    net.save_pretrained(tmp_path / "net")
    own = 'weights: "file:net"'
    told = inputs()
    found = mmm.load(graph(own, own), base=tmp_path).run(**told)["pred"]
    with torch.no_grad():
        want = net(told["x"], told["t"], told["cond"].repeat_interleave(3, 0)).sample
        alone = mmm.load(graph(own, own, attach=""), base=tmp_path).run(**told)["pred"]
    assert (found - want).abs().max() <= 1e-5 * want.abs().max()
    assert (alone - want).abs().max() > 1e-2 * want.abs().max()


def test_new_modules_change_nothing():
    told = inputs()
    motion = f"config: {MOTION}, init: default"
    unet = f"config: {UNET}, init: default"
    moved, new, still = (mmm.load(graph(motion, unet, attach=attach)) for attach in (ATTACH, ATTACH, ""))
    scramble(moved.module("motion"))
    for session in (moved, new, still):
        scramble(session.module("unet"))
    trained, found, want = (session.run(**told)["pred"] for session in (moved, new, still))
    assert want.abs().max() > 0.1
    assert torch.equal(found, want)
    assert (trained - want).abs().max() > 1e-2
    alone = still.run(**{**told, "x": told["x"][:, :, 1:2]})["pred"]
    assert (want[:, :, 1:2] - alone).abs().max() <= 1e-5 * alone.abs().max()
    with pytest.raises(MmmError, match=r"E785.*7 frames.*positions of 6"):
        moved.run(**inputs(7))


WRONG = {
    "other widths": ("{channels: [16, 64], groups: 8, num_heads: 4}", "denoiser.unet_frames",
                     "E785.*32 channels at down1_0.*for 64"),
    "more levels": ("{channels: [16, 32, 32], groups: 8, num_heads: 4}", "denoiser.unet_frames",
                    "E216.*no part 'down2_0'"),
    "pictures": ("{channels: [16, 32], groups: 8, num_heads: 4}", "denoiser.unet", "E204.*'frames'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(case):
    motion, kind, said = WRONG[case]
    text = graph(f"config: {motion}, init: default", f"config: {UNET}, init: default", kind)
    with pytest.raises(MmmError, match=said):
        mmm.load(text).run(**inputs())


def scramble(module):
    torch.manual_seed(2)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))


def test_the_adapter_for_stable_diffusion_has_as_many_weights_as_diffusers():
    from diffusers import MotionAdapter

    said = {
        "block_out_channels": [320, 640, 1280, 1280], "motion_layers_per_block": 2, "motion_max_seq_length": 32,
        "motion_mid_block_layers_per_block": 1, "motion_norm_num_groups": 32, "motion_num_attention_heads": 8,
        "use_motion_mid_block": True,
    }  # fmt: skip
    config = MotionConfig(**read_adapter({"_class_name": "MotionAdapter", **said}))
    assert config == MotionConfig()
    with torch.device("meta"):
        ours, theirs = Motion(config), MotionAdapter(**said)
    there = {name: p.shape for name, p in theirs.named_parameters()}
    places = LAYOUTS[0].theirs([name.removeprefix("parts.") for name, _ in ours.named_parameters()])
    assert {place.names[0] for place in places.values()} == set(there)
    number = sum(p.numel() for p in theirs.parameters())
    assert (
        number
        == sum(p.numel() for p in ours.parameters())
        == sum(part.params for part in motion_parts(config))
    )
    assert number == 453_209_280
