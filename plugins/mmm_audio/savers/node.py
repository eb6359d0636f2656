"""The saver for sound; torch-free."""

from __future__ import annotations

from mmm_graph.registry import Saver


def sound_savers() -> list[Saver]:
    """wav."""
    doc = "16 bit; metadata as JSON in the comment (ICMT)."
    return [Saver("wav", "Audio", "mmm_audio.savers.files:save_wav", doc)]
