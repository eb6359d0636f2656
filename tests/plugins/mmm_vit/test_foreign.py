"""Configs and files of vision towers: read, written, halves of dual encoders, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_vit.config import ViTConfig
from mmm_vit.foreign import BLIP2, CLIP, IDEFICS, LAYOUTS, PROJECTED, SIGLIP, read, read_projected, write
from mmm_vit.model import ViT

SIZES = {"width": 24, "depth": 2, "num_heads": 4, "hidden": 40, "size": 20, "patch": 6}
SIGLIP_FORM = {"class_token": False, "patch_bias": True, "pre_norm": False}
OURS = {
    CLIP: {},
    PROJECTED: {"out_dim": 10, "activation": "gelu"},
    SIGLIP: {**SIGLIP_FORM, "pool": "probe", "activation": "gelu_tanh"},
    f"{SIGLIP} without head": {**SIGLIP_FORM, "pool": "none"},
    BLIP2: {"patch_bias": True, "pre_norm": False, "pool": "class_normed_twice"},
    f"{BLIP2} without bias": {
        "patch_bias": True,
        "pre_norm": False,
        "pool": "class_normed_twice",
        "qkv_bias": False,
    },
}
PICTURE = torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parity
@pytest.mark.parametrize("name", list(OURS))
def test_transformers_reads_what_the_first_layout_writes(tmp_path, name):
    import transformers

    config = ViTConfig(**SIZES, **OURS[name])
    ours = ViT(config)
    save_foreign(ours, tmp_path / LAYOUTS[0].file, LAYOUTS[0], config)
    written = LAYOUTS[0].write_config(config)
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert written["architectures"] == [name.split()[0]]
    found = getattr(transformers, written["architectures"][0]).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(found[1].values()), found[1]
    with torch.no_grad():
        want = found[0](PICTURE)
        if config.pool == "none":
            assert torch.allclose(ours.hidden(PICTURE), want.last_hidden_state, atol=1e-5)
        else:
            pooled = want.image_embeds if config.out_dim else want.pooler_output
            assert torch.allclose(ours(PICTURE)["pooled"], pooled, atol=1e-5)
    reader = read_projected if config.out_dim else lambda theirs: read(name.split()[0], theirs)
    assert ViTConfig(**reader(written)) == ViTConfig(**reader(found[0].config.to_dict())) == config


@pytest.mark.parity
@pytest.mark.parametrize("name", [CLIP, SIGLIP, BLIP2])
def test_missing_fields_are_their_defaults(name):
    import transformers

    theirs = getattr(transformers, name.replace("Model", "Config"))().to_dict()
    assert read(name, {}) == read(name, theirs)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["CLIP", "Siglip"])
@pytest.mark.parametrize("half", ["whole file", "below its prefix"])
def test_half_of_a_dual_encoder(saved, load_vit, name, half):
    """A file of both towers, or what stands in it below `vision_model`; older ones also hold positions."""
    import transformers

    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    pixels = {**sizes, "image_size": 20, "patch_size": 6}
    theirs = getattr(transformers, f"{name}Config")(
        text_config={**sizes, "vocab_size": 30}, vision_config=pixels
    )
    theirs.projection_dim = 10
    reference, file = saved(getattr(transformers, f"{name}Model")(theirs))
    positions = {"vision_model.embeddings.position_ids": torch.arange(10)[None]}
    save_file(load_file(file) | positions, file, {"format": "pt"})
    config = read(f"{name}VisionModel", theirs.vision_config.to_dict())
    whole = half == "whole file"
    projected = {"out_dim": 10} if whole and name == "CLIP" else {}
    ours = load_vit(file, ViTConfig(**config, **projected), "" if whole else "vision_model")
    with torch.no_grad():
        want = reference.get_image_features(PICTURE.double()).pooler_output
        if name == "CLIP" and not whole:
            want = reference.vision_model(PICTURE.double()).pooler_output
        assert (ours(PICTURE.double())["pooled"] - want).abs().max() < 1e-10


LLAVA = {
    **{"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model"},
    **{"num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768},
    "vocab_size": 32000,
}
OLD = {
    "bad_words_ids": None,
    "eos_token_id": None,
    "max_length": 20,
    "is_decoder": False,
    "torchscript": False,
}
BLIP2_HUB = {"dropout": 0.0, "initializer_factor": 1.0, "initializer_range": 1e-10, "num_channels": 3}
BLIP2_HUB |= {"projection_dim": 512, "qkv_bias": True, "layer_norm_eps": 1e-6, **OLD}


def test_published_configs_hold_much_that_is_not_of_the_tower():
    assert read(CLIP, {**LLAVA, **OLD}) == read(CLIP, {k: v for k, v in LLAVA.items() if k != "vocab_size"})
    assert read(BLIP2, BLIP2_HUB) == read(BLIP2, {})


def test_idefics_is_read_and_has_no_class_of_its_own():
    assert read(IDEFICS, {"embed_dim": 1280, "model_type": "idefics"})["width"] == 1280
    with pytest.raises(ValueError, match=r"grid_offset: 0\.1 cannot be written"):
        write(ViTConfig(grid_offset=0.1))


@pytest.mark.parametrize(
    ("name", "theirs", "message"),
    [
        (CLIP, {"hidden_act": "relu"}, "hidden_act: 'relu' is not supported; expected one of quick_gelu"),
        (CLIP, {"use_rope": True}, "use_rope: True is not supported"),
        (CLIP, {"model_type": "siglip_vision_model"}, "expected 'clip_vision_model'"),
        (SIGLIP, {"num_experts": 2}, "num_experts: 2 is not supported"),
    ],
)
def test_what_we_do_not_compute_is_refused(name, theirs, message):
    with pytest.raises(ValueError, match=message):
        read(name, theirs)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"pre_norm": False}, "pre_norm: False, .* cannot be written"),
        ({"out_dim": 8, **SIGLIP_FORM, "pool": "probe"}, "out_dim: 8 cannot be written: SiglipVisionModel"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    with pytest.raises(ValueError, match=message):
        write(ViTConfig(**ours))


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"width": 10, "num_heads": 3}, "width 10 does not divide into 3 heads"),
        ({"class_token": False}, "pool: class needs `class_token: true`"),
        ({"pool": "none", "out_dim": 3}, "out_dim is set but pool is none"),
        ({"patch": 300}, "an image of 224 x 224 has no patch of 300 x 300"),
    ],
)
def test_configs_that_mean_nothing(ours, message):
    with pytest.raises(ValueError, match=message):
        ViTConfig(**ours)


@pytest.mark.parametrize("damage", ["missing", "unused", "shape"])
def test_a_file_that_does_not_fit_is_an_error_that_names_it(tmp_path, load_vit, damage):
    config = ViTConfig(**SIZES)
    save_foreign(ViT(config), tmp_path / "a.safetensors", LAYOUTS[0], config)
    state = load_file(tmp_path / "a.safetensors")
    name = "vision_model.encoder.layers.1.mlp.fc1.bias"
    value = state.pop(name)
    state |= {
        "missing": {},
        "unused": {name: value, "more": value.clone()},
        "shape": {name: value[1:].clone()},
    }[damage]
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match="E610") as caught:
        load_vit(tmp_path / "a.safetensors", config)
    assert {"missing": "block1.mlp.up.bias", "unused": "more", "shape": name}[damage] in str(caught.value)
