"""The node type vae.kl."""

from __future__ import annotations

from mmm_graph.registry import Facts, ModelType, method, model_type
from mmm_vae.config import (
    EncodeConfig,
    EncodeTilesConfig,
    FramesNoiseConfig,
    NoiseConfig,
    TileConfig,
    VaeConfig,
)
from mmm_vae.foreign import LAYOUTS
from mmm_vae.parts import decoder_path, encoder_path, vae_parts, vae_sharding

IMAGE = "Image[b,$image_channels,h,w]"
LATENTS = "Latents[b,$latent_channels,h/$factor,w/$factor]"
VIDEO = "Video[b,f,$image_channels,h,w]"
CLIP = "Latents[b,$latent_channels,f,h/$factor,w/$factor]"


def draws(config: VaeConfig, call: EncodeConfig | TileConfig, facts: Facts) -> Facts:
    """Without `sample` encoding draws nothing, so that what it makes of an image can be kept."""
    return {} if getattr(call, "sample", False) else {"noise": False}


def scaled(config: VaeConfig, call: object, facts: Facts) -> Facts:
    """What makes latents of the posterior; `latents.sample` compares it with its own config."""
    return {"mean.scale": config.scaling_factor, "mean.shift": config.shift_factor}


def tiles_fit(config: VaeConfig, call: TileConfig, facts: Facts) -> Facts:
    """Refuses tiles that are not whole latents, or that do not advance.

    Raises:
        ValueError: with a size that would do.
    """
    if call.tile % config.factor:
        fits = -(-call.tile // config.factor) * config.factor
        raise ValueError(
            f"tile {call.tile} is not a multiple of the autoencoder's factor {config.factor}; try {fits}"
        )
    if int(call.tile // config.factor * (1 - call.overlap)) < 1:
        raise ValueError(f"tiles of {call.tile} that overlap by {call.overlap} do not advance; overlap less")
    return {}


KL = model_type(
    "vae.kl",
    VaeConfig,
    "mmm_vae.model:AutoencoderKL",
    methods={
        "encode": method(
            image=IMAGE,
            config=EncodeConfig,
            noise=True,
            facts=draws,
            returns={"latents": LATENTS, "mean": LATENTS, "logvar": LATENTS},
            doc="Images to latents, scaled and shifted; mean and logvar are the posterior before that.",
        ),
        "encode_tiled": method(
            image=IMAGE,
            config=EncodeTilesConfig,
            noise=True,
            returns={"latents": LATENTS, "mean": LATENTS, "logvar": LATENTS},
            facts=lambda config, call, facts: {
                **tiles_fit(config, call, facts),
                **draws(config, call, facts),
            },
            doc="`encode` for images larger than memory: in tiles that overlap. One rank does it; ranks can share the "
            "rows of `encode`, which needs no tiles for it and is exact.",
        ),
        "posterior": method(
            image=IMAGE,
            returns={"mean": LATENTS, "logvar": LATENTS},
            path=encoder_path,
            facts=scaled,
            doc="Mean and log variance of the latents, before scaling and shifting. They can be cached; latents.sample "
            "draws from them.",
        ),
        "decode": method(
            latents=LATENTS,
            returns={"image": IMAGE},
            path=decoder_path,
            doc="Latents to images in [0,1]; what overshoots is not cut off, so that it can be trained.",
        ),
        "decode_tiled": method(
            latents=LATENTS,
            config=TileConfig,
            returns={"image": IMAGE},
            facts=tiles_fit,
            doc="`decode` for images larger than memory: in tiles that overlap. One rank does it; ranks can share the "
            "rows of `decode`, which needs no tiles for it and is exact.",
        ),
        "encode_frames": method(
            video=VIDEO,
            config=EncodeConfig,
            noise=True,
            facts=draws,
            returns={"latents": CLIP, "mean": CLIP, "logvar": CLIP},
            doc="`encode` for videos, one frame after the other.",
        ),
        "decode_frames": method(
            latents=CLIP,
            returns={"video": VIDEO},
            doc="`decode` for videos, one frame after the other.",
        ),
        "noise_frames": method(
            like="Any",
            config=FramesNoiseConfig,
            noise=True,
            returns={"latents": "Latents[b,$latent_channels,$frames,$height/$factor,$width/$factor]"},
            doc="`noise` in the shape of the latents of clips.",
        ),
        "mask": method(
            mask="Mask[b,1,h,w]",
            returns={"mask": "Latents[b,1,h/$factor,w/$factor]"},
            doc="What is to be painted, at the size of latents: 1 there, 0 elsewhere. Of each square of pixels the "
            "first decides.",
        ),
        "noise": method(
            like="Any",
            config=NoiseConfig,
            noise=True,
            returns={"latents": "Latents[b,$latent_channels,$height/$factor,$width/$factor]"},
            doc="Standard normal noise in the shape of latents, one for each element of `like`.",
        ),
    },
    parts=vae_parts,
    sharding=vae_sharding,
    layouts=LAYOUTS,
    state={"h": "Latents[b,c,h,w]"},
    doc="A convolutional autoencoder with a Gaussian latent, as in Stable Diffusion.",
    source="Rombach et al. 2021 (arXiv:2112.10752); Kingma and Welling 2013 (arXiv:1312.6114)",
)


def vae_nodes() -> list[ModelType]:
    """vae.kl."""
    return [KL]
