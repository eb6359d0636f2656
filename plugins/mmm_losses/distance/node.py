"""Losses between a prediction and its target."""

from __future__ import annotations

from mmm_graph.registry import OpType, op_type
from mmm_losses.distance import config as c

LOSS = {"loss": "Scalar"}


def distance_nodes() -> list[OpType]:
    """loss.mse, loss.l1, loss.align, loss.cross_entropy."""
    return [
        _error("mse", "Squared error."),
        _error("l1", "Absolute error."),
        op_type(
            "loss.align",
            "mmm_losses.distance.ops:align",
            pred="Embeds",
            target="Embeds",
            mask="Mask?",
            returns=LOSS,
            config=c.AlignConfig,
            count="mmm_losses.distance.ops:count_vectors",
            doc="Vectors become those of another encoder: by length of the difference, its square, or angle.",
            source="Wu et al. 2024 (arXiv:2309.05519), section 4",
        ),
        op_type(
            "loss.cross_entropy",
            "mmm_losses.distance.ops:cross_entropy",
            logits="Logits",
            labels="Ids",
            returns=LOSS,
            config=c.CrossEntropyConfig,
            count="mmm_losses.distance.ops:count_labels",
            doc="Mean negative log likelihood of the labels.",
        ),
    ]


def _error(name: str, doc: str) -> OpType:
    function = f"mmm_losses.distance.ops:{name}"
    return op_type(
        f"loss.{name}", function, pred="Any", target="Any", returns=LOSS, config=c.ErrorConfig, doc=doc
    )
