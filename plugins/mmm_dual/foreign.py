"""Where the temperature stands in files that hold both towers."""

from __future__ import annotations

from mmm_dual.config import TemperatureConfig
from mmm_graph.registry import Layout

ROWS = {"log_scale": "logit_scale", "bias": "logit_bias"}
HALVES = ("text_model.*", "vision_model.*", "text_projection", "visual_projection")
"""Of CLIPModel and SiglipModel."""
OPEN_CLIP = (
    *("text.*", "visual.*", "transformer.*", "token_embedding", "positional_embedding", "ln_final"),
    *("text_projection", "attn_mask"),
)
FILE = "model.safetensors"


def shapes(config: TemperatureConfig) -> dict[str, tuple[int, ...]]:
    """SiglipModel has vectors of one number, where CLIPModel has numbers."""
    return {} if config.bias is None else {"logit_scale": (1,), "logit_bias": (1,)}


LAYOUTS = (
    Layout("CLIPModel or SiglipModel", ROWS, ignored=HALVES, shapes=shapes, file=FILE),
    Layout("OpenCLIP", ROWS, ignored=OPEN_CLIP),
)
