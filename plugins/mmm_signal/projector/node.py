"""The node type projector.signal."""

from __future__ import annotations

from mmm_graph.registry import method, model_type
from mmm_signal.projector.config import SignalConfig
from mmm_signal.projector.foreign import LAYOUTS
from mmm_signal.projector.parts import signal_parts, signal_path, signal_sharding

SIGNAL = model_type(
    "projector.signal",
    SignalConfig,
    "mmm_signal.projector.model:SignalProjector",
    methods={
        "forward": method(
            features="Embeds[b,l,$in_dim]",
            returns={"embeds": "Embeds[b,$num_queries,$out_dim]"},
            path=signal_path,
            doc="States of a signal, of any length, as what the text encoder of a generator would have made.",
        )
    },
    parts=signal_parts,
    sharding=signal_sharding,
    state={"h": "Embeds[b,s,$width]", "memory": "Embeds[b,l,$width]"},
    doc="Learned queries in an encoder-decoder transformer between two linear layers, norms first; with the defaults "
    "NExT-GPT's.",
    source="Wu et al. 2024 (arXiv:2309.05519), section 3",
    layouts=LAYOUTS,
)
