"""The node type vocoder.hifigan."""

from __future__ import annotations

from mmm_audioldm.hifigan.config import HifiGanConfig
from mmm_audioldm.hifigan.foreign import LAYOUTS
from mmm_audioldm.hifigan.parts import hifigan_parts, hifigan_path
from mmm_graph.registry import method, model_type

HIFIGAN = model_type(
    "vocoder.hifigan",
    HifiGanConfig,
    "mmm_audioldm.hifigan.model:HifiGan",
    methods={
        "forward": method(
            mel="Mel[b,f,$bins]",
            returns={"audio": "Audio[b,1,f*$hop]{$rate}"},
            path=hifigan_path,
            doc="Log mel spectrograms to sound.",
        )
    },
    parts=hifigan_parts,
    state={"h": "Embeds[b,c,n]"},
    doc="Makes sound of log mel spectrograms by transposed convolutions; the defaults are AudioLDM's, 16 kHz.",
    source="Kong et al. 2020 (arXiv:2010.05646); transformers 5, SpeechT5HifiGan",
    layouts=LAYOUTS,
)
