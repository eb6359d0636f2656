"""What the ops that prepare pictures take and return; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, op_type
from mmm_vision.prepare.config import IsolateConfig, PreprocessConfig, TilesConfig


def prepare_nodes() -> list[NodeType]:
    """image.preprocess, image.tiles, image.isolate."""
    return [
        op_type(
            "image.preprocess", "mmm_vision.prepare.preprocess:preprocess", config=PreprocessConfig,
            image="Image[b,c,h,w]", returns={"image": "Image[b,3,$height,$width]"},
            doc="Pictures (or a list of pictures of differing sizes) as an encoder wants them: padded, scaled by "
            "Pillow, cropped, normalised, to the bit as transformers' image processors do it. Pixels are rounded to "
            "8 bits first.",
            source="transformers 5, the image processors of CLIP, SigLIP, BLIP, LLaVA and IDEFICS (with Pillow)",
        ),
        op_type(
            "image.tiles", "mmm_vision.prepare.tiles:tiles", config=TilesConfig,
            image="Image[m,c,h,w]",
            returns={"tiles": "Image[r,3,$size,$size]", "rows": "Ids[r]", "grids": "Ids[m,2]", "sizes": "Ids[m,2]"},
            doc="Pictures (or a list of pictures of differing sizes) as LLaVA-NeXT looks at them: the whole, scaled to "
            "one tile, then the tiles of the grid that suits it best. `rows`: the picture of each tile; `grids`: "
            "rows and columns of tiles; `sizes`: of each picture [px]. Pixels are rounded to 8 bits first.",
            source="Liu et al. 2024, LLaVA-NeXT; transformers 5, LlavaNextImageProcessor (with Pillow)",
        ),
        op_type(
            "image.isolate", "mmm_vision.prepare.isolate:isolate", config=IsolateConfig,
            image="Image[b,c,h,w]", returns={"image": "Image[b,3,$size,$size]"},
            doc="Pictures (or a list of pictures of differing sizes) of one thing on a plain ground, whatever the "
            "colours: the thing in light on black, in the middle of a canvas. Such canvases stay as they are.",
        ),
    ]  # fmt: skip
