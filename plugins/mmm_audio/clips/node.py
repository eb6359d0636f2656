"""The op audio.clips."""

from __future__ import annotations

from mmm_audio.clips.config import ClipsConfig
from mmm_graph.registry import op_type

CLIPS = op_type(
    "audio.clips",
    "mmm_audio.clips.ops:clips",
    config=ClipsConfig,
    audio="Audio[m,1,n]{$rate}",
    returns={"clips": "Audio*[c,1,s]{$rate}", "rows": "Ids[c]"},
    doc="Clips of sounds (or of a list of differing lengths), one after the other. `rows`: the sound of each.",
    source="Girdhar et al. 2023 (arXiv:2305.05665), appendix B; its published code",
)
