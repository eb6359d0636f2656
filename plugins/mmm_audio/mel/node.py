"""The op audio.mel."""

from __future__ import annotations

from mmm_audio.mel.config import MelConfig
from mmm_graph.registry import op_type

MEL = op_type(
    "audio.mel",
    "mmm_audio.mel.spectrogram:mel",
    config=MelConfig,
    audio="Audio[b,1,n]{$rate}",
    returns={"mel": "Mel[b,$frames,$bins]"},
    doc="Sounds (or a list of sounds of differing lengths) to log mel spectrograms as Kaldi makes them, padded or "
    "cut to one length and normalised.",
    source="transformers 5, ASTFeatureExtractor; Povey et al. 2011, the Kaldi toolkit",
)
