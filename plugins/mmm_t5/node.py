"""The node type encoder.t5."""

from __future__ import annotations

from mmm_graph.registry import method, model_type
from mmm_t5.config import T5Config
from mmm_t5.foreign import LAYOUTS
from mmm_t5.parts import t5_parts, t5_path, t5_sharding

T5 = model_type(
    "encoder.t5",
    T5Config,
    "mmm_t5.model:T5Encoder",
    methods={
        "forward": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            returns={"embeds": "Embeds[b,t,$width]"},
            path=t5_path,
            doc="Hidden states of the tokens after the last norm.",
        )
    },
    parts=t5_parts,
    sharding=t5_sharding,
    state={"h": "Embeds[b,t,$width]"},
    doc="The encoder of T5; with the defaults, T5 v1.1 XXL's, which reads the text for Stable Diffusion 3 and FLUX.",
    source="Raffel et al. 2019 (arXiv:1910.10683)",
    layouts=LAYOUTS,
)
