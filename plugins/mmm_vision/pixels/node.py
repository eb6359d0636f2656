"""The methods of the pixel codec: those of a vae that make sense without weights; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, method, model_type
from mmm_vision.pixels.config import NoiseConfig, PixelsConfig

IMAGE, LATENTS = "Image[b,$channels,h,w]", "Latents[b,$channels,h,w]"


def pixel_nodes() -> list[NodeType]:
    """vae.pixels."""
    return [
        model_type(
            "vae.pixels", PixelsConfig, "mmm_vision.pixels.model:Pixels", weights=False,
            methods={
                "encode": method(
                    image=IMAGE, returns={"latents": LATENTS}, rowwise=True, doc="[0,1] -> [-1,1]"
                ),
                "decode": method(
                    latents=LATENTS, returns={"image": IMAGE}, rowwise=True, doc="[-1,1] -> [0,1]"
                ),
                "mask": method(
                    mask="Mask[b,1,h,w]", returns={"mask": "Latents[b,1,h,w]"},
                    doc="What is to be painted: 1 there, 0 elsewhere.",
                ),
                "noise": method(
                    like="Any", config=NoiseConfig, noise=True,
                    returns={"latents": "Latents[b,$channels,$height,$width]"},
                    doc="Standard normal noise, one for each element of `like`.",
                ),
            },
            doc="Latents that are the pixels themselves: a pixel-space graph reads like a latent one.",
        ),
    ]  # fmt: skip
