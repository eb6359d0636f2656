"""The node types encoder.imagebind and encoder.imagebind_sound."""

from __future__ import annotations

from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.registry import Method, ModelType, method, model_type
from mmm_imagebind.config import SoundConfig, VisionConfig
from mmm_imagebind.foreign import SOUND_LAYOUTS, VISION_LAYOUTS
from mmm_imagebind.parts import (
    forward_path,
    hidden_path,
    pooled_path,
    sound_parts,
    sound_sharding,
    vision_parts,
    vision_sharding,
)

BUILDER = "mmm_imagebind.model:ImageBind"
SOURCE = "Girdhar et al. 2023 (arXiv:2305.05665), section 3.3 and appendix B"


def methods(port: str, dims: str, what: str, start: str = "") -> dict[str, Method]:
    """What can be asked of one sort of input; `start` of the names of the methods that are not the default."""
    inputs = {port: dims}
    return {
        f"{start}hidden": method(
            ports=inputs,
            config=HiddenConfig,
            returns={"embeds": "Embeds[b,$length,$width]"},
            path=hidden_path,
            doc=f"Features of the tokens of {what} after any block; `select: patch` for adaptors.",
        ),
        f"{start}pooled": method(
            ports=inputs,
            returns={"embeds": "Embeds[b,$out_dim]"},
            path=pooled_path,
            doc=f"One vector of each of {what} in the space of all modalities.",
        ),
    }


def whole(port: str, dims: str, what: str) -> dict[str, Method]:
    """As `methods`, with the default method."""
    forward = method(
        ports={port: dims},
        returns={"embeds": "Embeds[b,$tokens,$width]", "pooled": "Embeds[b,$out_dim]"},
        path=forward_path,
        doc=f"The last hidden states of {what} after the final norm, and one vector each.",
    )
    return {"forward": forward, **methods(port, dims, what)}


VISION = model_type(
    "encoder.imagebind",
    VisionConfig,
    BUILDER,
    methods={
        **whole("image", "Image[b,3,$size,$size]", "pictures"),
        **methods("video", "Video[b,$frames,3,$size,$size]", "clips", "clip_"),
    },
    parts=vision_parts,
    sharding=vision_sharding,
    state={"h": "Embeds[b,l,$width]"},
    doc="ImageBind's transformer over patches of pictures and of clips of two frames; the defaults are the huge one.",
    source=SOURCE,
    layouts=VISION_LAYOUTS,
)

SOUND = model_type(
    "encoder.imagebind_sound",
    SoundConfig,
    BUILDER,
    methods=whole("mel", "Mel[b,$frames,$bins]", "spectrograms"),
    parts=sound_parts,
    sharding=sound_sharding,
    state={"h": "Embeds[b,l,$width]"},
    doc="ImageBind's transformer over overlapping patches of the mel spectrograms of two seconds of sound.",
    source=SOURCE,
    layouts=SOUND_LAYOUTS,
)


def imagebind_nodes() -> list[ModelType]:
    """encoder.imagebind, encoder.imagebind_sound."""
    return [VISION, SOUND]
