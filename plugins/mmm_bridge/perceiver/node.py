"""The node type adaptor.perceiver."""

from __future__ import annotations

from mmm_bridge.perceiver.config import PerceiverConfig
from mmm_bridge.perceiver.foreign import LAYOUTS
from mmm_bridge.perceiver.parts import perceiver_parts, perceiver_path, perceiver_sharding
from mmm_graph.registry import ModelType, method, model_type

PERCEIVER = model_type(
    "adaptor.perceiver",
    PerceiverConfig,
    "mmm_bridge.perceiver.model:Perceiver",
    methods={
        "forward": method(
            features="Embeds[b,l,$in_dim]",
            returns={"embeds": "Embeds[b,$num_latents,$out_dim]"},
            path=perceiver_path,
            doc="Any number of features as a fixed number of embeds.",
        )
    },
    parts=perceiver_parts,
    sharding=perceiver_sharding,
    state={"h": "Embeds[b,$num_latents,$in_dim]"},
    doc="A perceiver resampler; with the defaults OpenFlamingo's.",
    source="Alayrac et al. 2022 (arXiv:2204.14198), section 2.1",
    layouts=LAYOUTS,
)


def perceiver_nodes() -> list[ModelType]:
    """adaptor.perceiver."""
    return [PERCEIVER]
