"""The node type encoder.clap_text."""

from __future__ import annotations

from mmm_audioldm.clap.config import ClapTextConfig
from mmm_audioldm.clap.foreign import LAYOUTS
from mmm_audioldm.clap.parts import clap_parts, clap_sharding, forward_path, pooled_path
from mmm_graph.registry import method, model_type

CLAP_TEXT = model_type(
    "encoder.clap_text",
    ClapTextConfig,
    "mmm_audioldm.clap.model:ClapText",
    methods={
        "forward": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            returns={"embeds": "Embeds[b,t,$width]", "pooled": "Embeds[b,$pooled_dim]"},
            path=forward_path,
            doc="Hidden states of the tokens, and one vector of the text, not normalised.",
        ),
        "pooled": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            returns={"pooled": "Embeds[b,$pooled_dim]"},
            path=pooled_path,
            doc="One vector of the text, not normalised; embeds.normalize makes it the condition of AudioLDM.",
        ),
    },
    parts=clap_parts,
    sharding=clap_sharding,
    state={"h": "Embeds[b,t,$width]"},
    doc="The text half of CLAP: a RoBERTa whose first token is projected to where sounds are too.",
    source="Wu et al. 2022 (arXiv:2211.06687); transformers 5, ClapTextModelWithProjection",
    layouts=LAYOUTS,
)
