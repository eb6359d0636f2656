"""The savers for images; torch-free."""

from __future__ import annotations

from mmm_graph.registry import Saver


def image_savers() -> list[Saver]:
    """png and jpg."""
    return [
        Saver(
            "png", "Image", "mmm_vision.savers.files:save_png", "8 bit, lossless; metadata as text chunks."
        ),
        Saver(
            "jpg",
            "Image",
            "mmm_vision.savers.files:save_jpg",
            "8 bit, lossy; metadata as JSON in the comment.",
        ),
    ]
