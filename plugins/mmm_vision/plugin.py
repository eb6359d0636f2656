"""Entry point of the plugin `vision`."""

from __future__ import annotations

from mmm_graph.registry import NodeType, Saver, hookimpl
from mmm_vision.image.node import image_nodes
from mmm_vision.pixels.node import pixel_nodes
from mmm_vision.prepare.node import prepare_nodes
from mmm_vision.savers.node import image_savers, video_savers
from mmm_vision.video.node import video_nodes


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """Image operations, the preparation of pictures and videos for encoders, and the pixel codec."""
    return [*image_nodes(), *prepare_nodes(), *pixel_nodes(), *video_nodes()]


@hookimpl
def mmm_register_savers() -> list[Saver]:
    """png and jpg; gif, webp and mp4."""
    return [*image_savers(), *video_savers()]
