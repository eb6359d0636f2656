"""The node type denoiser.unet_frames."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_unet.frames.config import FramesConfig
from mmm_unet.frames.foreign import LAYOUTS
from mmm_unet.frames.parts import frames_parts, frames_path, frames_sharding
from mmm_unet.node import CONDITION, predicted

FRAMES = model_type(
    "denoiser.unet_frames",
    FramesConfig,
    "mmm_unet.frames.model:FramesUNet",
    methods={
        "predict": method(
            x="Latents[b,$in_channels,f,h,w]",
            t="Scalar[b]",
            ports={"cond": CONDITION},
            returns={"pred": "Latents[b,$out_channels,f,h,w]"},
            path=frames_path,
            facts=predicted,
            doc="One evaluation at times t, under one condition a video. By itself every frame is a picture.",
        )
    },
    parts=frames_parts,
    sharding=frames_sharding,
    state={
        "h": "Latents[b,c,h,w]",
        "temb": "Embeds[b,d]",
        "skip*": "Latents[b,c,h,w]",
        "frames": "Ids[b,f]",
    },
    doc="denoiser.unet over the frames of videos, with its weights, for `attach: [{model: motion, at: parts}]` of "
    "motion modules.",
    source="Guo et al. 2023 (arXiv:2307.04725)",
    layouts=LAYOUTS,
)


def frames_nodes() -> list[ModelType]:
    """denoiser.unet_frames."""
    return [FRAMES]
