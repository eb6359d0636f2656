"""The node type denoiser.unet3d."""

from __future__ import annotations

from mmm_graph.registry import Facts, ModelType, cond, method, model_type
from mmm_video.config import UNet3dConfig
from mmm_video.foreign import LAYOUTS
from mmm_video.parts import unet_parts, unet_path, unet_sharding


def predicted(config: UNet3dConfig, call: object, facts: Facts) -> Facts:
    """What the prediction means."""
    return {"pred.prediction": config.prediction}


UNET3D = model_type(
    "denoiser.unet3d",
    UNet3dConfig,
    "mmm_video.model:UNet3d",
    methods={
        "predict": method(
            x="Latents[b,$in_channels,f,h,w]",
            t="Scalar[b]",
            ports={"cond": cond(embeds="Embeds[b,t,$cond_dim]", mask="Mask[b,t]?")},
            returns={"pred": "Latents[b,$out_channels,f,h,w]"},
            path=unet_path,
            facts=predicted,
            doc="One evaluation at times t, of clips of any number of frames.",
        )
    },
    parts=unet_parts,
    sharding=unet_sharding,
    state={"h": "Latents[b,c,f,h,w]", "temb": "Embeds[b,d]", "skip*": "Latents[b,c,f,h,w]"},
    doc="A U-Net of pictures whose blocks go on along the frames: after each convolution one in time, after each "
    "transformer over pixels one over frames.",
    source="Wang et al. 2023 (arXiv:2308.06571); diffusers, UNet3DConditionModel",
    layouts=LAYOUTS,
)


def video_nodes() -> list[ModelType]:
    """denoiser.unet3d."""
    return [UNET3D]
