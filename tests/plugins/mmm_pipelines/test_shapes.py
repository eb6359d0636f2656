"""Names and shapes of full-size files -> the sizes that were published."""

from __future__ import annotations

import pytest
import torch

from mmm_flux.config import FluxConfig
from mmm_flux.foreign import LAYOUTS as FLUX
from mmm_flux.foreign import read_diffusers as read_flux_config
from mmm_flux.model import Flux
from mmm_graph.checkpoint.load import saved_names
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.foreign import LAYOUTS as MMDIT
from mmm_mmdit.foreign import read_diffusers as read_mmdit_config
from mmm_mmdit.model import MMDiT
from mmm_pipelines.flow_shapes import read_flux, read_mmdit, read_t5
from mmm_pipelines.shapes import Names, read_clip, read_open_clip, read_sizes, read_unet, read_vae
from mmm_t5.config import T5Config
from mmm_t5.foreign import LAYOUTS as T5
from mmm_t5.foreign import read_config as read_t5_config
from mmm_t5.model import T5Encoder
from mmm_text.config import TextEncoderConfig
from mmm_text.foreign import LAYOUTS as TEXT
from mmm_text.foreign import read_plain, read_projected
from mmm_text.model import TextEncoder
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS as UNET
from mmm_unet.foreign import read_diffusers as read_unet_config
from mmm_unet.model import UNet
from mmm_vae.config import VaeConfig
from mmm_vae.foreign import LAYOUTS as VAE
from mmm_vae.foreign import read_diffusers as read_vae_config
from mmm_vae.model import AutoencoderKL
from tests.plugins.mmm_pipelines.files import named

UNETS = {
    "SD 1.5": {"sample_size": 64, "cond_dim": 768},
    "SD 2.1": {"sample_size": 96, "cond_dim": 1024, "num_heads": (5, 10, 20, 20), "linear_projection": True},
    "SDXL": {
        "sample_size": 128, "cond_dim": 2048, "channels": (320, 640, 1280), "num_heads": (5, 10, 20),
        "attention": ("none", "cross", "cross"), "transformer_layers": (1, 2, 10), "linear_projection": True,
        "size_dim": 256, "pooled_dim": 1280,
    },
}  # fmt: skip
MILLIONS = {"SD 1.5": 859.5, "SD 2.1": 865.9, "SDXL": 2567.5}
CLIP_L = {"pool": "argmax"}
OPEN_CLIPS = {
    "ViT-H": {"width": 1024, "depth": 24, "num_heads": 16, "hidden": 4096, "pooled_dim": 1024},
    "bigG": {"width": 1280, "depth": 32, "num_heads": 20, "hidden": 5120, "pooled_dim": 1280},
}


def original(make, config, layout):
    """Names and shapes of the original file of such a model."""
    with torch.device("meta"):
        module = make(config)
    state = module.state_dict()
    ours = {n: tuple(state[own].shape) for n, own in saved_names(module).items()}
    there = {}
    for name, place in layout.theirs(ours, config).items():
        there[f"below.{place.names[0]}"] = place.whole(ours[name])
    for name, shape in (layout.shapes(config) if layout.shapes else {}).items():
        there[f"below.{name}"] = shape
    return Names(there, "below"), sum(value.numel() for value in state.values())


@pytest.mark.parametrize("name", UNETS)
def test_unets(name):
    wanted = UNetConfig(**UNETS[name])
    there, count = original(UNet, wanted, named(UNET, "original"))
    found = read_unet(there, wanted.sample_size)
    if wanted.pooled_dim:
        found |= read_sizes(there, wanted.pooled_dim)
    config = UNetConfig(**read_unet_config(found))
    assert (config.levels, config.middle) == (wanted.levels, wanted.middle)
    more = {"num_heads", "transformer_layers"}  # written a level each, and compared above
    assert config.model_dump(exclude=more) == wanted.model_dump(exclude=more)
    assert round(count / 1e6, 1) == MILLIONS[name]


MMDITS = {
    "SD3 medium": ({}, 2028.3),
    "SD3.5 medium": (
        {"pos_embed_max_size": 384, "qk_norm": "rms_norm", "dual_blocks": tuple(range(13))},
        2243.2,
    ),
    "SD3.5 large": ({"depth": 38, "num_heads": 38, "qk_norm": "rms_norm"}, 8056.6),
}


@pytest.mark.parametrize("name", MMDITS)
def test_mmdits(name):
    sizes, millions = MMDITS[name]
    wanted = MMDiTConfig(**sizes)
    there, count = original(MMDiT, wanted, named(MMDIT, "original"))
    there["pos_embed"] = (1, wanted.pos_embed_max_size**2, wanted.width)
    assert MMDiTConfig(**read_mmdit_config(read_mmdit(there))) == wanted
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize(("guidance", "millions"), [(True, 11901.4), (False, 11891.2)])
def test_flux(guidance, millions):
    wanted = FluxConfig(guidance=guidance)
    there, count = original(Flux, wanted, named(FLUX, "original"))
    assert FluxConfig(**read_flux_config(read_flux(there))) == wanted
    assert round(count / 1e6, 1) == millions
    there["img_in.weight"] = (3072, 384)
    with pytest.raises(ValueError, match="384 channels and not 64: Fill"):
        read_flux(there)


def test_t5():
    wanted = T5Config(
        width=4096, depth=24, num_heads=64, head_dim=64, hidden=10240, activation="gelu_tanh", gated=True
    )
    there, count = original(T5Encoder, wanted, T5[0])
    found = read_t5(there)
    assert found.pop("architectures") == ["T5EncoderModel"]
    assert T5Config(**read_t5_config(found)) == wanted
    assert round(count / 1e6, 1) == 4762.3


def test_autoencoder():
    wanted = VaeConfig(scaling_factor=0.13025, sample_size=1024)
    there, count = original(AutoencoderKL, wanted, named(VAE, "original"))
    assert VaeConfig(**read_vae_config(read_vae(there, 1024, 0.13025))) == wanted
    assert round(count / 1e6, 2) == 83.65


@pytest.mark.parametrize("layout", ["transformers", "transformers 5"])
def test_clip(layout):
    wanted = TextEncoderConfig(**CLIP_L)
    there, _ = original(TextEncoder, wanted, named(TEXT, layout))
    found = read_clip(there)
    assert found.pop("architectures") == ["CLIPTextModel"]
    assert TextEncoderConfig(**read_plain(found)) == wanted


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("name", OPEN_CLIPS)
def test_open_clip(name, projected):
    sizes = OPEN_CLIPS[name] if projected else {**OPEN_CLIPS[name], "pooled_dim": OPEN_CLIPS[name]["width"]}
    wanted = TextEncoderConfig(**CLIP_L, **sizes, activation="gelu", projection=projected)
    there, _ = original(TextEncoder, wanted, named(TEXT, "OpenCLIP"))
    found = read_open_clip(there)
    read = {"CLIPTextModel": read_plain, "CLIPTextModelWithProjection": read_projected}
    assert TextEncoderConfig(**read[found.pop("architectures")[0]](found)) == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out.2.weight": None}, r"below\.out\.2\.weight is not there"),
        ({"input_blocks.0.0.weight": (320,)}, r"below\.input_blocks\.0\.0\.weight has the shape .320., without axis 1"),
        ({"input_blocks.0.0.weight": (320, 0)}, "without axis 1"),
        ({"middle_block.1.transformer_blocks.1.norm1.weight": (1280,)}, "the middle has 2 transformer layers"),
        ({"input_blocks.2.1.transformer_blocks.1.norm1.weight": (320,)}, "blocks of a level differ"),
        ({"input_blocks.12.0.out_layers.3.weight": (1280, 1280, 3, 3)}, "or levels in their number"),
        ({"input_blocks.1.1.proj_in.weight": (320, 320), "input_blocks.4.0.out_layers.3.weight": (650, 1, 3, 3),
          "input_blocks.5.0.out_layers.3.weight": (650, 1, 3, 3)}, "do not divide into heads of 64"),
    ],
)  # fmt: skip
def test_unets_that_are_built_otherwise(change, said):
    there, _ = original(UNet, UNetConfig(cond_dim=768, num_heads=8), named(UNET, "original"))
    if "middle_block.1.transformer_blocks.1.norm1.weight" in change:
        there = Names({f"below.{n}": s for n, s in there.items()}, "below")
        there["input_blocks.10.1.transformer_blocks.0.norm1.weight"] = (1280,)
        there["input_blocks.11.1.transformer_blocks.0.norm1.weight"] = (1280,)
    for name, shape in change.items():
        if shape is None:
            del there[name]
        else:
            there[name] = shape
    with pytest.raises(ValueError, match=said):
        read_unet(there, 64)
