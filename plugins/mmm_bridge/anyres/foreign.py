"""Where LLaVA-NeXT keeps the embed that ends a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Layout

ROWS = {"newline": "image_newline"}
"""Of whole files; in memory of transformers 5, and in LLaVA's own checkpoints, below `model`."""

OTHERS = (
    *("multi_modal_projector.*", "vision_tower.*", "language_model.*"),
    *("mm_projector.*", "layers.*", "embed_tokens", "norm"),
)
"""Other models in these files."""


def read_llava_next(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config from that of a LlavaNextForConditionalGeneration; links solve a width that it leaves out."""
    return {"width": theirs.get("text_config", {}).get("hidden_size")}


LAYOUTS = (
    Layout(
        "transformers",
        ROWS,
        ("LlavaNextImageNewline",),
        read_llava_next,
        ignored=OTHERS,
        file="model.safetensors",
    ),
)
