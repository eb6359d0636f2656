"""diffusers' configs and files of PixArt, in both directions."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_pixart.config import PixArtConfig
from mmm_pixart.foreign import LAYOUTS, read_diffusers, read_legacy, write_diffusers
from mmm_pixart.model import PixArt

TINY = {
    "sample_size": 8,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "cross_attention_dim": 24,
    "num_layers": 2,
    "caption_channels": 10,
}
ALPHA = {  # the fields of the legacy class at the sizes of PixArt-alpha; written by hand, not a published file
    "_class_name": "Transformer2DModel",
    "_diffusers_version": "0.22.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 72,
    "attention_type": "default",
    "caption_channels": 4096,
    "cross_attention_dim": 1152,
    "double_self_attention": False,
    "dropout": 0.0,
    "in_channels": 4,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "norm_type": "ada_norm_single",
    "num_attention_heads": 16,
    "num_embeds_ada_norm": 1000,
    "num_layers": 28,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "patch_size": 2,
    "sample_size": 128,
    "upcast_attention": False,
    "use_linear_projection": False,
}


def reference(**config):
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel(**config)


@pytest.mark.parity
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sample_size": 128, "patch_size": 16},
        {"out_channels": None, "in_channels": 3, "norm_eps": 1e-5},
        {"interpolation_scale": 1.5, "use_additional_conditions": True},
    ],
)
def test_configs_go_both_ways(more):
    theirs = reference(**{**TINY, **more})
    config = PixArtConfig(**read_diffusers(theirs.config))
    written = write_diffusers(config)
    again = reference(**{k: v for k, v in written.items() if k != "_class_name"})
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in again.state_dict().items()} == shapes
    assert torch.equal(again.pos_embed.pos_embed, theirs.pos_embed.pos_embed)
    assert PixArtConfig(**read_diffusers(written)) == config


@pytest.mark.parity
def test_diffusers_reads_what_we_write(tmp_path, scramble):
    from diffusers import PixArtTransformer2DModel

    config = PixArtConfig(**read_diffusers({**TINY, "use_additional_conditions": True}))
    ours = scramble(PixArt(config))
    layout = LAYOUTS[0]
    save_foreign(ours, tmp_path / layout.file, layout, config)
    (tmp_path / "config.json").write_text(json.dumps(write_diffusers(config)))
    theirs, notes = PixArtTransformer2DModel.from_pretrained(
        tmp_path, torch_dtype=torch.float64, output_loading_info=True
    )
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    x, t, embeds = torch.randn(1, 4, 8, 8).double(), torch.tensor([9]), torch.randn(1, 3, 10).double()
    size, aspect = torch.tensor([[64.0, 64.0]]), torch.tensor([[1.0]])
    with torch.no_grad():
        want = theirs(x, embeds, t, {"resolution": size, "aspect_ratio": aspect}).sample
        got = ours({"x": x, "t": t, "cond.embeds": embeds, "cond.resolution": size, "cond.aspect": aspect})
    assert torch.allclose(torch.cat([got["pred"], got["variance"]], dim=1), want, rtol=0, atol=1e-10)


@pytest.mark.parity
def test_what_old_files_hold_besides_is_not_read(tmp_path):
    config = PixArtConfig(**read_diffusers(TINY))
    reference(**TINY).save_pretrained(tmp_path)
    file = tmp_path / LAYOUTS[0].file
    more = {
        "caption_projection.y_embedding": torch.ones(120, 10),
        "pos_embed.pos_embed": torch.ones(1, 16, 24),
    }
    save_file({**load_file(file), **more}, file)
    load_module(PixArt(config), open_checkpoint(file), layouts=LAYOUTS, config=config)


def test_the_legacy_class_at_full_size():
    alpha = PixArtConfig(**read_legacy(ALPHA))
    assert alpha == PixArtConfig(size_condition=True)
    small = PixArtConfig(**read_legacy(ALPHA | {"sample_size": 64}))
    assert small == PixArtConfig(sample_size=64, interpolation_scale=1)
    sigma = {"interpolation_scale": 2, "use_additional_conditions": False}
    assert PixArtConfig(**read_legacy(ALPHA | sigma)) == PixArtConfig()


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"norm_type": "ada_norm_zero"}, "norm_type: 'ada_norm_zero' is not supported; expected 'ada_norm_s"),
        ({"attention_bias": False}, "attention_bias: False is not supported; expected True"),
        ({"activation_fn": "geglu"}, "activation_fn: 'geglu' is not supported"),
        ({"caption_channels": None}, "caption_channels: None is not supported"),
        ({"cross_attention_dim": 20}, "cross_attention_dim: 20 is not supported; expected the width, 24"),
        ({"cross_attention_dim": None}, "cross_attention_dim: None is not supported"),
        ({"attention_type": "gated"}, "attention_type: 'gated' is not supported; expected 'default'"),
        ({"double_self_attention": True}, "double_self_attention: True is not supported"),
        ({"out_channels": 5}, "out_channels: 5 is not supported; expected 4 or 8"),
        ({"rope": True}, "rope: True is not supported; known are"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_diffusers({**TINY, **theirs})


def test_the_legacy_class_must_say_its_norm():
    with pytest.raises(ValueError, match="norm_type: None is not supported"):
        read_legacy(TINY)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"freq_dim": 64}, "freq_dim: 64 cannot be written"),
        ({"mlp_ratio": 2.0}, "mlp_ratio: 2.0 cannot be written"),
        ({"head_eps": 1e-5}, "head_eps: 1e-05 cannot be written"),
        ({"time_scale": 7.0}, "time_scale: 7.0 cannot be written"),
        ({"cond_dim": None}, "cond_dim: none cannot be written"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    with pytest.raises(ValueError, match=message):
        write_diffusers(PixArtConfig(**ours))
