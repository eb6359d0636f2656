"""Entry point of the plugin `audioldm`."""

from __future__ import annotations

from mmm_audioldm.clap.node import CLAP_TEXT
from mmm_audioldm.hifigan.node import HIFIGAN
from mmm_audioldm.node import FROM_IMAGE
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """CLAP's text encoder, the vocoder, and spectrograms of what the autoencoder makes."""
    return [CLAP_TEXT, HIFIGAN, FROM_IMAGE]
