"""The loss of language models."""

from __future__ import annotations

from mmm_graph.registry import OpType, op_type
from mmm_losses.language.config import NextTokenConfig

NUMBERS = {"loss": "Scalar[]", "supervised": "Scalar[]", "accuracy": "Scalar[]", "count": "Scalar[]"}


def language_nodes() -> list[OpType]:
    """loss.next_token."""
    return [
        op_type(
            "loss.next_token",
            "mmm_losses.language.ops:next_token",
            logits="Logits[b,t,v]",
            labels="Ids[b,t]",
            weights="Scalar[b,t]?",
            segments="Ids[b,t]?",
            documents="Ids[b,t]?",
            returns=NUMBERS,
            config=NextTokenConfig,
            count="mmm_losses.language.ops:count_supervised",
            doc="Cross entropy of each supervised token (label not -100), from the logits of the token before it.",
            source="Liu et al. 2023 (arXiv:2304.08485), eq. 3",
        )
    ]
