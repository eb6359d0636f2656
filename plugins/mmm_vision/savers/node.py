"""The savers for images and videos; torch-free."""

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


def video_savers() -> list[Saver]:
    """gif, webp and mp4."""
    videos = "mmm_vision.savers.videos"
    return [
        Saver("gif", "Video", f"{videos}:save_gif", "256 colours a frame; metadata as JSON in the comment."),
        Saver("webp", "Video", f"{videos}:save_webp", "True colour; metadata as JSON in EXIF."),
        Saver(
            "mp4",
            "Video",
            f"{videos}:save_mp4",
            "H.264 without compression; metadata as JSON in the comment.",
        ),
    ]
