"""Where other libraries keep the weights of projectors, and what their configs say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_bridge.activations import read_activation
from mmm_bridge.projector.config import MlpConfig
from mmm_graph.registry import Layout

HUB = {"layer0.proj": "linear_1", "layer1.proj": "linear_2"}
"""Below `multi_modal_projector`, or in memory of transformers 5 below `model.multi_modal_projector`."""

PLAIN = {"layer0.proj.weight": "weight", "layer0.proj.bias": "bias"}
"""One linear layer, such as LLaVA's below `model.mm_projector`, or BLIP-2's `language_projection`."""


def original_rows(config: MlpConfig) -> dict[str, str]:
    """Below `model.mm_projector` of LLaVA's own checkpoints: activations are counted, too."""
    return {f"layer{i}.proj": str(2 * i) for i in range(config.depth)}


def read_llava(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config from that of a LlavaForConditionalGeneration; widths that it leaves out are solved from the links.

    Raises:
        ValueError: an activation that we do not compute.
    """
    layers = theirs.get("vision_feature_layer", -2)
    times = len(layers) if isinstance(layers, list | tuple) else 1
    width = theirs.get("vision_config", {}).get("hidden_size")
    return {
        "in_dim": None if width is None else width * times,
        "out_dim": theirs.get("text_config", {}).get("hidden_size"),
        "activation": read_activation("projector_hidden_act", theirs.get("projector_hidden_act", "gelu")),
        "bias": theirs.get("multimodal_projector_bias", True),
    }


FILE = "model.safetensors"
CLASSES = ("LlavaMultiModalProjector", "LlavaNextMultiModalProjector")
MLP_LAYOUTS = (
    Layout("transformers", HUB, CLASSES, read_llava, file=FILE),
    Layout("LLaVA", original_rows, file=FILE),
)
LINEAR_LAYOUTS = (Layout("one layer", PLAIN, file=FILE),)
