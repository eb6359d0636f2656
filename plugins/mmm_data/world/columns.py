"""Columns of the digit world; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_data.world.config import RATE, WorldConfig


def world_columns(config: WorldConfig) -> Mapping[str, str]:
    """Columns of data.digit_world; what an answer does not show is absent in its row."""
    size, flags = config.size, ("wanted_image", "wanted_audio", "wanted_video")
    return {
        "chat": "Chat[b]",
        "prompt": "Chat[b]",
        "task": "Text[b]",
        "answer": "Text[b]",
        "digit": "Ids[b]",
        "move": "Ids[b]",
        **dict.fromkeys(flags, "Bool[b]"),
        "image": f"Image[r_image,1,{size},{size}]?",
        "image_text": "Text[r_image]?",
        "audio": f"Audio[r_audio,1,{config.samples}]{{{RATE}}}?",
        "audio_text": "Text[r_audio]?",
        "video": f"Video[r_video,{config.frames},3,{size},{size}]?",
        "video_text": "Text[r_video]?",
    }
