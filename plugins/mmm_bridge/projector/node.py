"""The node types adaptor.linear and adaptor.mlp."""

from __future__ import annotations

from dataclasses import replace

from mmm_bridge.projector.config import LinearConfig, MlpConfig
from mmm_bridge.projector.foreign import LINEAR_LAYOUTS, MLP_LAYOUTS
from mmm_bridge.projector.parts import projector_parts, projector_path, projector_sharding
from mmm_graph.registry import ModelType, method, model_type

FORWARD = method(
    features="Embeds[b,l,$in_dim]",
    returns={"embeds": "Embeds[b,l,$out_dim]"},
    path=projector_path,
    doc="As many embeds as there are features.",
)

LINEAR = model_type(
    "adaptor.linear",
    LinearConfig,
    "mmm_bridge.projector.model:Projector",
    methods={"forward": FORWARD},
    parts=projector_parts,
    sharding=projector_sharding,
    state={"h": "Embeds[b,l,$out_dim]"},
    doc="One linear layer, as of LLaVA.",
    source="Liu et al. 2023 (arXiv:2304.08485), section 4.1",
    layouts=LINEAR_LAYOUTS,
)

MLP = model_type(
    "adaptor.mlp",
    MlpConfig,
    "mmm_bridge.projector.model:Projector",
    methods={"forward": FORWARD},
    parts=projector_parts,
    sharding=projector_sharding,
    state={"h": "Embeds[b,l,$out_dim]"},
    doc="Linear layers with activations between them; with the defaults that of LLaVA-1.5 and LLaVA-NeXT.",
    source="Liu et al. 2023 (arXiv:2310.03744), section 3.3",
    layouts=MLP_LAYOUTS,
)


OUT = replace(
    LINEAR,
    kind="projector.linear",
    doc="One linear layer from states of a signal to embeds for a generator, as many as the signal has tokens.",
    source="Wu et al. 2024 (arXiv:2309.05519), its published code",
    layouts=(),
)


def projector_nodes() -> list[ModelType]:
    """adaptor.linear, adaptor.mlp, and the first as projector.linear, on the other side of a language model."""
    return [LINEAR, MLP, OUT]
