"""The composite `loss.itg`: a caption is told from the queries of a Q-Former; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Used
from mmm_losses.language.config import NextTokenConfig
from mmm_losses.matching.config import CaptionConfig, ItgConfig


def expand(config: ItgConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Mapping[str, Any]:
    """The text through the Q-Former, each token seeing the queries and the tokens before it; then loss.next_token."""
    qformer = uses["qformer"].name
    mask = {"mask": "$in.mask"} if "mask" in inputs else {}
    said = config.model_dump(mode="json")
    first, loss = ({k: said[k] for k in kind.model_fields} for kind in (CaptionConfig, NextTokenConfig))
    nodes = {
        "read": {"op": "ids.caption", "config": first, "in": {"ids": "$in.ids", **mask}},
        "caption": {
            "call": f"{qformer}.caption",
            "in": {"features": "$in.features", "ids": "read", **mask},
        },
        "words": {"call": f"{qformer}.logits", "in": {"embeds": "caption"}},
        "next": {"op": "loss.next_token", "config": loss, "in": {"logits": "words", "labels": "read.labels"}},
    }
    out = {name: f"next.{name}" for name in ("loss", "supervised", "accuracy", "count")}
    return {"nodes": nodes, "out": out}
