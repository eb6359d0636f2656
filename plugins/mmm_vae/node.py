"""The node type vae.kl."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_vae.config import EncodeConfig, NoiseConfig, VaeConfig
from mmm_vae.foreign import LAYOUTS
from mmm_vae.parts import decoder_path, encoder_path, vae_parts, vae_sharding

IMAGE = "Image[b,$image_channels,h,w]"
LATENTS = "Latents[b,$latent_channels,h/$factor,w/$factor]"

KL = model_type(
    "vae.kl",
    VaeConfig,
    "mmm_vae.model:AutoencoderKL",
    methods={
        "encode": method(
            image=IMAGE,
            config=EncodeConfig,
            noise=True,
            returns={"latents": LATENTS, "mean": LATENTS, "logvar": LATENTS},
            doc="Images to latents, scaled and shifted; mean and logvar are the posterior before that.",
        ),
        "posterior": method(
            image=IMAGE,
            returns={"mean": LATENTS, "logvar": LATENTS},
            path=encoder_path,
            doc="Mean and log variance of the latents, before scaling and shifting.",
        ),
        "decode": method(
            latents=LATENTS,
            returns={"image": IMAGE},
            path=decoder_path,
            doc="Latents to images in [0,1]; what overshoots is not cut off, so that it can be trained.",
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
