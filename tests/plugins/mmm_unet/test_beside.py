"""AudioLDM's U-Net: a vector beside the time, transformers that read no condition. Against diffusers."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_unet.model import UNet
from mmm_unet.parts import unet_parts

TINY = {
    "block_out_channels": (8, 16), "norm_num_groups": 4, "sample_size": 8, "attention_head_dim": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "layers_per_block": 1,
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 10, "class_embeddings_concat": True, "cross_attention_dim": (8, 16),
}  # fmt: skip
LEVELS = {"down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
          "up_block_types": ("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",), "layers_per_block": 2, "sample_size": 128,
          "in_channels": 8, "out_channels": 8, "class_embed_type": "simple_projection",
          "projection_class_embeddings_input_dim": 512, "class_embeddings_concat": True}  # fmt: skip
PUBLISHED = {"AudioLDM-S": (128, 256, 384, 640), "AudioLDM-L": (256, 512, 768, 1280)}
"""Widths of the levels; the rest is what diffusers' conversion of the published checkpoints writes for both."""


@pytest.mark.parity
@pytest.mark.parametrize("case", ["twice", "cross"])
def test_a_saved_model_is_the_same(case, scramble, tmp_path):
    from diffusers import UNet2DConditionModel

    sizes = TINY if case == "twice" else {**TINY, "cross_attention_dim": 6}
    theirs = scramble(UNet2DConditionModel(**sizes))
    theirs.save_pretrained(tmp_path / "theirs")
    config = UNetConfig(**read_diffusers(dict(theirs.config)))
    assert config.mid_attention == case and config.pooled_dim == 10
    ours = UNet(config)
    load_module(
        ours, open_checkpoint(tmp_path / "theirs"), layouts=LAYOUTS, config=config, dtype=torch.float64
    )
    drawn = torch.Generator().manual_seed(5)
    x, pooled = (torch.randn(*s, generator=drawn, dtype=torch.float64) for s in ((2, 4, 16, 4), (2, 10)))
    text = None if case == "twice" else torch.randn(2, 7, 6, generator=drawn, dtype=torch.float64)
    state = {"x": x, "t": torch.tensor([3, 700]), "cond.pooled": pooled, "cond.embeds": text}
    with torch.no_grad():
        want, got = theirs(x, state["t"], text, class_labels=pooled).sample, ours(state)["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    again = UNet2DConditionModel.from_config(write_diffusers(config))
    shapes = {n: tuple(v.shape) for n, v in again.state_dict().items()}
    assert open_checkpoint(tmp_path / "ours").shapes == shapes
    assert UNetConfig(**read_diffusers(dict(again.config))) == config


@pytest.mark.parity
@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size(name):
    from diffusers import UNet2DConditionModel

    widths = {"block_out_channels": PUBLISHED[name], "cross_attention_dim": PUBLISHED[name]}
    with torch.device("meta"):
        theirs = UNet2DConditionModel(**LEVELS, **widths)
        config = UNetConfig(**read_diffusers(dict(theirs.config)))
        ours = UNet(config)
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: tuple(v.shape) for n, v in ours.state_dict().items()}
    assert shapes == {n: tuple(v.shape) for n, v in theirs.state_dict().items()}
    assert sum(p.params for p in unet_parts(config)) == sum(p.numel() for p in theirs.parameters())


def test_the_table_is_true_of_the_module(check_parts):
    config = UNetConfig(**read_diffusers(TINY))
    with torch.device("meta"):
        given = {"x": torch.zeros(1, 4, 8, 8), "t": torch.zeros(1, dtype=torch.int64)}
        check_parts(unet_parts(config), UNet(config), {**given, "cond.pooled": torch.zeros(1, 10)})


def test_the_vector_is_needed():
    with pytest.raises(RunError, match=r"a U-Net with pooled_beside needs cond\.pooled"):
        UNet(UNetConfig(**read_diffusers(TINY)))({"x": torch.zeros(1, 4, 8, 8), "t": torch.zeros(1)})
    with pytest.raises(ValidationError, match="pooled_beside and size_dim both say how"):
        UNetConfig(pooled_beside=True, size_dim=8)


@pytest.mark.parametrize(
    "more",
    [
        {"class_embeddings_concat": False},
        {"class_embed_type": None},
        {"projection_class_embeddings_input_dim": None},
        {"num_class_embeds": 4},
        {"addition_embed_type": "text_time", "addition_time_embed_dim": 1},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_is_refused(more):
    with pytest.raises(ValueError, match=r"class_embed_type.*not supported"):
        read_diffusers({**TINY, **more})


def test_what_cannot_be_written():
    said = {"channels": (32,), "num_heads": 2}
    for more, message in (
        ({"attention": ("twice",), "mid_attention": "twice"}, "it goes with pooled_beside"),
        ({"attention": ("twice",), "mid_attention": "self"}, "has no transformers"),
        (
            {"attention": ("self",), "mid_attention": "self", "pooled_beside": True},
            "pooled_beside: true cannot",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            write_diffusers(UNetConfig(**said, **more))
