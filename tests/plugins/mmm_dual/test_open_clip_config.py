"""OpenCLIP's published configs: our towers have the sizes, and as many weights."""

from __future__ import annotations

import pytest
import torch

from mmm_dual.open_clip_config import read_text, read_vision
from mmm_graph.registry import load_registry, resolve

CLIP_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
SIGLIP_TEXT = {
    **{"context_length": 64, "vocab_size": 32000, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"},
    **{"tokenizer_kwargs": {"clean": "canonicalize"}, "width": 768, "heads": 12, "layers": 12},
    **{"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
}
SIGLIP = {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
PUBLISHED = {
    "ViT-B-32": (512, {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}, CLIP_TEXT, 151_277_312),
    "ViT-H-14": (
        1024,
        {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
        {**CLIP_TEXT, "width": 1024, "heads": 16, "layers": 24},
        986_109_440,
    ),
    "ViT-bigG-14": (
        1280,
        {"image_size": 224, "layers": 48, "width": 1664, "head_width": 104, "mlp_ratio": 4.9231, "patch_size": 14},
        {**CLIP_TEXT, "width": 1280, "heads": 20, "layers": 32},
        2_539_567_104,
    ),
    "ViT-B-16-SigLIP": (
        768,
        {"image_size": 224, "timm_model_name": "vit_base_patch16_siglip_224", **SIGLIP},
        SIGLIP_TEXT,
        203_155_968,
    ),
    "ViT-SO400M-14-SigLIP-384": (
        1152,
        {"image_size": 384, "timm_model_name": "vit_so400m_patch14_siglip_384", **SIGLIP},
        {**SIGLIP_TEXT, "width": 1152, "heads": 16, "layers": 27, "mlp_ratio": 3.7362},
        877_960_496,
    ),
}  # fmt: skip
"""Width of the common space, towers, weights of both without the temperature."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    width, vision, text, count = PUBLISHED[name]
    kinds, found = load_registry().models, 0
    said = {"encoder.vit": read_vision(vision, width, False), "encoder.text": read_text(text, width, False)}
    for kind, config in said.items():
        with torch.device("meta"):
            module = resolve(kinds[kind].builder)(kinds[kind].config(**config))
        assert module.config.pooled_dim == width
        found += sum(weight.numel() for weight in module.parameters())
    assert found == count


def test_activations():
    assert read_text({}, 8, True)["activation"] == read_vision({}, 8, True)["activation"] == "quick_gelu"
    tanh = {"act_kwargs": {"approximate": "tanh"}}
    assert (
        read_text(tanh, 8, False)["activation"] == "gelu_tanh"
        and read_text({}, 8, False)["activation"] == "gelu"
    )
    for name, act in {
        "base_patch16": "gelu",
        "so400m_patch14": "gelu",
        "so400m_patch16": "gelu_tanh",
    }.items():
        tower = {**SIGLIP, "timm_model_name": f"vit_{name}_siglip_256", "image_size": 256}
        assert read_vision(tower, 768, False)["activation"] == act


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"act_kwargs": {"approximate": "sin"}}, "act_kwargs"),
        ({"norm_kwargs": {"bias": False}}, "norm_kwargs"),
        ({"pool_type": "first"}, "pool_type: 'first'"),
        ({"qk_norm": True}, "qk_norm: True is not supported"),
        ({"rotary": 1}, "rotary: 1 is not supported"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        read_text(text, 8, False)
