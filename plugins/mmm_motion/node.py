"""The node type adaptor.motion."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_motion.config import MotionConfig
from mmm_motion.foreign import LAYOUTS
from mmm_motion.parts import motion_parts, motion_path, motion_sharding

MOTION = model_type(
    "adaptor.motion",
    MotionConfig,
    "mmm_motion.model:Motion",
    methods={
        "forward": method(
            h="Latents[b*f,c,h,w]",
            frames="Ids[b,f]",
            returns={"h": "Latents[b*f,c,h,w]"},
            path=motion_path,
            doc="Frames that have seen each other. The rows of h are the frames of one video after the other; frames: "
            "their numbers, which the U-Net makes.",
        )
    },
    parts=motion_parts,
    sharding=motion_sharding,
    state={"h": "Latents[b,c,h,w]"},
    attaches="forward",
    doc="Motion modules for `attach: [{model: NAME, at: parts}]` of denoiser.unet_frames, which does not change until "
    "they are trained. With the defaults AnimateDiff's for Stable Diffusion 1.5.",
    source="Guo et al. 2023 (arXiv:2307.04725), section 4.2",
    layouts=LAYOUTS,
)


def motion_nodes() -> list[ModelType]:
    """adaptor.motion."""
    return [MOTION]
