"""What the image operations take and return; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, op_type
from mmm_vision.image.config import GridConfig, HideConfig, MaskConfig, ResizeConfig


def image_nodes() -> list[NodeType]:
    """image.grid, image.resize, image.to_mask, image.hide."""
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
        op_type(
            "image.to_mask", "mmm_vision.image.ops:to_mask", config=MaskConfig,
            image="Image[b,1,h,w]", returns={"mask": "Mask[b,1,h,w]"},
            doc="A grey picture of what is to be painted (white) as a mask.",
        ),
        op_type(
            "image.hide", "mmm_vision.image.ops:hide", config=HideConfig,
            image="Image[b,c,h,w]", mask="Mask[b,1,h,w]", returns={"image": "Image[b,c,h,w]"},
            doc="The image without what the mask says is to be painted: grey there.",
        ),
    ]  # fmt: skip
