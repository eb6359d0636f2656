"""Entry point of the plugin `unet`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_unet.frames.node import frames_nodes
from mmm_unet.node import unet_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The U-Net denoiser, of pictures and over the frames of videos."""
    return [*unet_nodes(), *frames_nodes()]
