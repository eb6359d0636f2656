"""The node type adaptor.anyres."""

from __future__ import annotations

from mmm_bridge.anyres.config import AnyResConfig
from mmm_bridge.anyres.foreign import LAYOUTS
from mmm_graph.registry import ModelType, method, model_type

ANYRES = model_type(
    "adaptor.anyres",
    AnyResConfig,
    "mmm_bridge.anyres.model:AnyRes",
    methods={
        "forward": method(
            features="Embeds[r,l,$width]",
            rows="Ids[r]",
            grids="Ids[m,2]",
            sizes="Ids[m,2]",
            returns={"embeds": "Embeds*[m,n,$width]"},
            doc="The embeds of the tiles of each picture as one row: the whole first, then the tiles without padding.",
        )
    },
    doc="Puts the tiles of pictures of any size together, with a learned embed at the end of each line.",
    source="Liu et al. 2024, LLaVA-NeXT (https://llava-vl.github.io/blog/2024-01-30-llava-next)",
    layouts=LAYOUTS,
)


def anyres_nodes() -> list[ModelType]:
    """adaptor.anyres."""
    return [ANYRES]
