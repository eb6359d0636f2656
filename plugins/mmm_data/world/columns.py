"""Columns of the digit world; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_data.world.config import RATE, WorldConfig


def world_columns(config: WorldConfig) -> Mapping[str, str]:
    """Columns of data.digit_world; what an answer does not show is absent in its row."""
    size, rows = config.size, {m: "b" if config.every else f"r_{m}" for m in ("image", "audio", "video")}
    may = "" if config.every else "?"
    return {
        "chat": "Chat[b]",
        "prompt": "Chat[b]",
        "task": "Text[b]",
        "answer": "Text[b]",
        "digit": "Ids[b]",
        "move": "Ids[b]",
        **{f"wanted_{medium}": "Bool[b]" for medium in rows},
        **{f"{medium}_text": f"Text[{r}]{may}" for medium, r in rows.items()},
        "image": f"Image[{rows['image']},1,{size},{size}]{may}",
        "audio": f"Audio[{rows['audio']},1,{config.samples}]{{{RATE}}}{may}",
        "video": f"Video[{rows['video']},{config.frames},3,{size},{size}]{may}",
    }
