"""What the image operations take and return; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, op_type
from mmm_vision.image.config import GridConfig, ResizeConfig


def image_nodes() -> list[NodeType]:
    """image.grid, image.resize."""
    return [
        op_type(
            "image.grid", "mmm_vision.image.grid:grid", config=GridConfig,
            image="Image[b,c,h,w]", labels="Text[b]?", numbers="Ids[b]?",
            returns={"image": "Image[1,c,sheet_h,sheet_w]"},
            doc="A contact sheet of the batch, each image above its label (a text or a number).",
        ),
        op_type(
            "image.resize", "mmm_vision.image.ops:resize", config=ResizeConfig,
            image="Image[b,c,h,w]", returns={"image": "Image[b,c,$height,$width]"},
            doc="Another size by interpolation; values stay in [0,1].",
        ),
    ]  # fmt: skip
