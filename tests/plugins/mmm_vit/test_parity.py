"""The vision transformer against those of transformers, each read from the file that it saved."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.load import saved_names
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_vit.config import ViTConfig
from mmm_vit.foreign import BLIP2, CLIP, IDEFICS, LAYOUTS, SIGLIP, read, read_projected
from mmm_vit.model import ViT

pytestmark = pytest.mark.parity

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
SIZES |= {"image_size": 20, "patch_size": 6}  # two pixels are left over
PROJECTED = "CLIPVisionModelWithProjection"
READ = {name: partial(read, name) for name in (CLIP, SIGLIP, BLIP2)} | {PROJECTED: read_projected}
CONFIGS = {
    CLIP: "CLIPVisionConfig",
    PROJECTED: "CLIPVisionConfig",
    SIGLIP: "SiglipVisionConfig",
    BLIP2: "Blip2VisionConfig",
}
CASES = [
    (CLIP, {}),
    (CLIP, {"hidden_act": "gelu", "num_channels": 1, "layer_norm_eps": 1e-3}),
    (CLIP, {"hidden_act": "gelu", "patch_size": 5, "num_hidden_layers": 1}),
    (PROJECTED, {"projection_dim": 10}),
    (PROJECTED, {"projection_dim": 24, "num_attention_heads": 3}),
    (PROJECTED, {"hidden_act": "gelu", "patch_size": 10}),
    (SIGLIP, {}),
    (SIGLIP, {"vision_use_head": False, "patch_size": 5}),
    (SIGLIP, {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "num_attention_heads": 2}),
    (BLIP2, {}),
    (BLIP2, {"qkv_bias": False, "patch_size": 5}),
    (BLIP2, {"hidden_act": "quick_gelu", "num_attention_heads": 3, "layer_norm_eps": 1e-3}),
]


def make(name, **more):
    import transformers

    config = getattr(transformers, CONFIGS[name])(**{**SIZES, **more}, attn_implementation="sdpa")
    return getattr(transformers, name)(config)


def picture(channels=3, height=20, width=20):
    return torch.randn(
        2, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


@pytest.mark.parametrize(("name", "case"), CASES)
def test_every_hidden_state_and_the_pooled_vector(saved, load_vit, name, case):
    reference, file = saved(make(name, **case))
    ours = load_vit(file, ViTConfig(**READ[name](reference.config.to_dict())))
    image = picture(case.get("num_channels", 3))
    with torch.no_grad():
        want = reference(image, output_hidden_states=True)
        check_hidden(ours, image, want.hidden_states)
        last = reference.vision_model if name == PROJECTED else reference
        if ours.config.pool != "none":
            got = ours(image)
            close(got["pooled"], want.image_embeds if name == PROJECTED else want.pooler_output)
            close(got["embeds"], last.post_layernorm(want.hidden_states[-1]))
        if name in (SIGLIP, BLIP2):
            close(ours.hidden(image, HiddenConfig()), want.last_hidden_state)


def check_hidden(ours, image, states):
    """All hidden states, by their numbers from the start and from the end, with and without the class token."""
    first = int(ours.config.class_token)
    for layer, state in enumerate(states):
        close(ours.hidden(image, HiddenConfig(layer=layer, norm=False)), state)
        call = HiddenConfig(layer=layer - len(states), norm=False, select="patch")
        close(ours.hidden(image, call), state[:, first:])


@pytest.mark.parametrize(
    "case", [{}, {"hidden_act": "quick_gelu", "patch_size": 5}, {"num_channels": 1, "num_hidden_layers": 1}]
)
def test_idefics_is_clip_below_another_prefix(tmp_path, scramble, load_vit, case):
    from safetensors.torch import save_file
    from transformers.models.idefics.configuration_idefics import IdeficsVisionConfig
    from transformers.models.idefics.vision import IdeficsVisionTransformer

    sizes = {**{k: v for k, v in SIZES.items() if k != "hidden_size"}, "embed_dim": 24, **case}
    config = IdeficsVisionConfig(**sizes, attn_implementation="sdpa")
    reference = scramble(IdeficsVisionTransformer(config))
    state = {f"model.vision_model.{k}": v for k, v in reference.state_dict().items()}
    save_file({**state, "model.norm.weight": torch.ones(3)}, tmp_path / "a.safetensors")
    theirs = {**config.to_dict(), "model_type": "idefics", "vision_model_name": "some/CLIP"}
    ours = ViTConfig(**{**read(IDEFICS, theirs), "interpolate": True})
    vit = load_vit(tmp_path / "a.safetensors", ours, "model.vision_model")
    with torch.no_grad():
        for height, width in ((20, 20), (13, 31), (30, 20)):
            image = picture(case.get("num_channels", 3), height, width)
            want = reference(image, interpolate_pos_encoding=True)
            close(vit(image)["pooled"], want.pooler_output)
            close(vit.hidden(image, HiddenConfig(norm=False)), want.last_hidden_state)


@pytest.mark.parametrize("name", [CLIP, SIGLIP, BLIP2])
def test_positions_of_other_sizes_are_interpolated(saved, load_vit, name):
    reference, file = saved(make(name))
    theirs = READ[name](reference.config.to_dict())
    ours = load_vit(file, ViTConfig(**{**theirs, "interpolate": True}))
    with torch.no_grad():
        for height, width in ((20, 20), (21, 18), (6, 6), (13, 40), (36, 36)):
            image = picture(height=height, width=width)
            want = reference(image, interpolate_pos_encoding=True)
            close(ours(image)["pooled"], want.pooler_output)


FULL = {
    "CLIP ViT-B/32": (PROJECTED, {"patch_size": 32, "projection_dim": 512}, 87_849_216),
    "CLIP ViT-L/14 at 336": (
        CLIP,
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        | {"patch_size": 14, "image_size": 336},
        303_507_456,
    ),
    "SigLIP so400m/14 at 384": (
        SIGLIP,
        {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        | {"patch_size": 14, "image_size": 384},
        428_225_600,
    ),
    "EVA-CLIP g/14 of BLIP-2": (BLIP2, {}, 985_952_256),
}


@pytest.mark.parametrize("title", list(FULL))
def test_full_sizes(title):
    import transformers

    name, published, count = FULL[title]
    theirs = getattr(transformers, CONFIGS[name])(**published)
    config = ViTConfig(**READ[name](theirs.to_dict()))
    with torch.device("meta"):
        reference, ours = getattr(transformers, name)(theirs), ViT(config)
    state, names = ours.state_dict(), saved_names(ours)
    shapes = {n: tuple(state[own].shape) for n, own in names.items()}
    there = {n: tuple(v.shape) for n, v in reference.state_dict().items()}
    fit = find_fit(shapes, there, alike={n: [n] for n in shapes}, layouts=LAYOUTS, config=config)
    assert fit.problems == 0 and fit.where.keys() == shapes.keys()
    assert sum(v.numel() for v in state.values()) == sum(v.numel() for v in reference.parameters()) == count


def close(got, want):
    assert got.shape == want.shape and (got - want).abs().max() <= 1e-10 * max(1.0, want.abs().max())
