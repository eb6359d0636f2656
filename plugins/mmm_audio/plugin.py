"""Entry point of the plugin `audio`."""

from __future__ import annotations

from mmm_audio.ast.foreign import BARE, CLASSIFIER
from mmm_audio.ast.node import AST
from mmm_audio.clips.node import CLIPS
from mmm_audio.mel.node import MEL
from mmm_audio.savers.node import sound_savers
from mmm_audio.spectrum.node import spectrum_nodes
from mmm_graph.registry import Importer, NodeType, Saver, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The mel spectrogram and the encoder of it; spectrograms that become sounds again."""
    return [MEL, CLIPS, AST, *spectrum_nodes()]


@hookimpl
def mmm_register_savers() -> list[Saver]:
    """wav."""
    return sound_savers()


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """Folders of transformers, by class."""
    return [
        Importer(BARE, "mmm_audio.folders:import_encoder"),
        Importer(CLASSIFIER, "mmm_audio.folders:import_classifier"),
    ]
