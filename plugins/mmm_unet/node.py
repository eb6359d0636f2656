"""The node type denoiser.unet."""

from __future__ import annotations

from mmm_graph.registry import Facts, ModelType, cond, method, model_type
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS
from mmm_unet.parts import unet_parts, unet_path, unet_sharding

CONDITION = cond(
    optional=True,
    embeds="Embeds[b,t,$cond_dim]?",
    mask="Mask[b,t]?",
    label="Ids[b]?",
    pooled="Embeds[b,$pooled_dim]?",
    sizes="Embeds[b,6]?",
    guidance="Scalar[b]?",
)


def predicted(config: UNetConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


UNET = model_type(
    "denoiser.unet",
    UNetConfig,
    "mmm_unet.model:UNet",
    methods={
        "predict": method(
            x="Latents[b,$in_channels,h,w]",
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": "Latents[b,$out_channels,h,w]"},
            path=unet_path,
            facts=predicted,
            doc="One evaluation at times t. With size_dim, cond.sizes is original height and width, top and left of "
            "the cut, wanted height and width; with pooled_beside, cond.pooled stands beside the time; with "
            "guidance_dim, cond.guidance is a scale, 1 being no guidance.",
        )
    },
    parts=unet_parts,
    sharding=unet_sharding,
    state={"h": "Latents[b,c,h,w]", "temb": "Embeds[b,d]", "skip*": "Latents[b,c,h,w]"},
    doc="Residual convolutions over several resolutions with skips; pixels or latents; with or without a condition.",
    source="Ho et al. 2020 (arXiv:2006.11239); Rombach et al. 2021 (arXiv:2112.10752); Podell et al. 2023 "
    "(arXiv:2307.01952)",
    layouts=LAYOUTS,
)


def unet_nodes() -> list[ModelType]:
    """denoiser.unet."""
    return [UNET]
