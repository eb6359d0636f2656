"""The op mel.from_image; torch-free."""

from __future__ import annotations

from mmm_graph.registry import op_type

FROM_IMAGE = op_type(
    "mel.from_image",
    "mmm_audioldm.mel:from_image",
    image="Image[b,1,f,m]",
    returns={"mel": "Mel[b,f,m]"},
    doc="What an autoencoder of one channel makes, from 0 to 1 and beyond, as log mel spectrograms from -1 to 1.",
    source="diffusers, AudioLDMPipeline",
)
