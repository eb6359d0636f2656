"""Entry point of the plugin `video`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_video.node import video_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The U-Net denoiser of clips."""
    return video_nodes()
