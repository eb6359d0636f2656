"""diffusers' UNet2DModel, which reads no text, and its files from before the projections of attention were renamed."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS, read_diffusers, read_plain, write_diffusers
from mmm_unet.keys import OLD_ATTENTION
from mmm_unet.model import UNet

pytestmark = pytest.mark.parity

THREE = {"in_channels": 3, "out_channels": 3, "block_out_channels": (8, 16, 16), "norm_num_groups": 4,
         "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D")}  # fmt: skip
CASES = {
    "wide heads": {**THREE, "layers_per_block": 1, "attention_head_dim": 8, "norm_eps": 1e-6, "sample_size": 16},
    "one head": {**THREE, "layers_per_block": 2, "attention_head_dim": None, "downsample_padding": 0,
                 "flip_sin_to_cos": False, "freq_shift": 1, "num_class_embeds": 3},
    "no middle": {**THREE, "layers_per_block": 1, "attention_head_dim": 4, "add_attention": False,
                  "out_channels": 6, "sample_size": (8, 12)},
}  # fmt: skip
DDPM_CAT_256 = {  # what the published model of that name says, of the fields that matter
    "act_fn": "silu", "attention_head_dim": None, "block_out_channels": [128, 128, 256, 256, 512, 512],
    "center_input_sample": False, "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2,
    "mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 32, "out_channels": 3, "sample_size": 256,
    "time_embedding_type": "positional", "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
}  # fmt: skip


def reference_of(case):
    from diffusers import UNet2DModel

    return UNet2DModel(**CASES[case])


def read(path, config):
    model = UNet(config)
    load_module(model, open_checkpoint(path), layouts=LAYOUTS, config=config, dtype=torch.float64)
    return model


def check(ours, reference, batch, height, width):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, height, width, generator=draw, dtype=torch.float64)
    state = {"x": x, "t": torch.arange(batch) * 310 + 4}
    if reference.config.num_class_embeds:
        state["cond.label"] = torch.arange(batch)
    with torch.no_grad():
        want, got = reference(x, state["t"], class_labels=state.get("cond.label")).sample, ours(state)["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 8, 12)])
def test_a_saved_model_is_the_same(case, batch, height, width, scramble, tmp_path):
    reference = scramble(reference_of(case))
    reference.save_pretrained(tmp_path / "theirs")
    config = UNetConfig(**read_plain(dict(reference.config)))
    ours = read(tmp_path / "theirs", config)
    check(ours, reference, batch, height, width)


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_a_model_of_theirs(case, scramble, tmp_path):
    reference = reference_of(case)
    config = UNetConfig(**read_plain(dict(reference.config)))
    written = write_diffusers(config)
    assert written["_class_name"] == "UNet2DModel"
    again = type(reference).from_config(written)
    save_foreign(scramble(UNet(config)), tmp_path / LAYOUTS[0].file, LAYOUTS[0], config)
    shapes = {n: tuple(v.shape) for n, v in again.state_dict().items()}
    assert open_checkpoint(tmp_path).shapes == shapes
    back = UNetConfig(**read_plain(written))
    assert back.levels == config.levels and back.middle == config.middle


def test_old_names_of_attention(scramble, tmp_path):
    reference = scramble(reference_of("wide heads"))
    old = {}
    for name, value in reference.state_dict().items():
        for ours, theirs in (
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ):
            name = name.replace(f".{ours}.", f".{theirs}.")
        old[name] = value.contiguous()
    assert sum(any(f".{name}." in key for name in OLD_ATTENTION.values()) for key in old) == 4 * 2 * 4
    save_file(old, tmp_path / "old.safetensors")
    check(
        read(tmp_path / "old.safetensors", UNetConfig(**read_plain(dict(reference.config)))),
        reference,
        2,
        8,
        8,
    )


def test_full_size_of_ddpm():
    from diffusers import UNet2DModel

    with torch.device("meta"):
        ours, reference = UNet(UNetConfig(**read_plain(DDPM_CAT_256))), UNet2DModel.from_config(DDPM_CAT_256)
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in reference.parameters()) == 113_673_219


@pytest.mark.parametrize(
    ("field", "value"),
    [("mid_block_type", None), ("attn_norm_num_groups", 2), ("attention_head_dim", 6), ("downsample_type", "resnet"),
     ("time_embedding_type", "learned"), ("class_embed_type", "identity"), ("mid_block_scale_factor", 2),
     ("down_block_types", ("DownBlock2D", "SkipDownBlock2D", "DownBlock2D")), ("cross_attention_dim", 8)],
)  # fmt: skip
def test_what_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}.*not supported"):
        read_plain({**THREE, field: value})


def test_it_reads_no_text():
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    with pytest.raises(ValueError, match=r"down_block_types.*reads no text"):
        read_plain({**THREE, **blocks, "block_out_channels": (8,)})


def test_heads_that_differ_between_the_ways_are_refused():
    blocks = {"down_block_types": ("AttnDownBlock2D", "CrossAttnDownBlock2D"),
              "up_block_types": ("CrossAttnUpBlock2D", "AttnUpBlock2D")}  # fmt: skip
    with pytest.raises(
        ValueError, match=r"attention_head_dim.*not supported with AttnDownBlock2D in level 0"
    ):
        read_diffusers({**blocks, "block_out_channels": (16, 32), "attention_head_dim": (4, 8)})


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"time_scale": 7.0}, "time_scale: 7.0 cannot be written"),
        (
            {"mid_attention": "none", "attention": ("cross", "none"), "cond_dim": 4},
            "mid_attention: none cannot",
        ),
        ({"size_dim": 8, "pooled_dim": 4}, "size_dim: 8 cannot be written"),
        ({"num_heads": (2, 4), "channels": (16, 16)}, "num_heads: .* has heads of one width"),
        ({"mid_attention": "cross"}, "none cannot be written"),
        ({"mid_attention": "cross", "cond_dim": 4, "num_heads": (4, 2)}, "attention_head_dim"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    small = {"channels": (16, 32), "groups": 8, "attention": ("self", "self"), "mid_attention": "self"}
    with pytest.raises(ValueError, match=message):
        write_diffusers(UNetConfig(**{**small, **ours}))
