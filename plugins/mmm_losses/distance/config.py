"""Configs of the losses between a prediction and its target, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class ErrorConfig(Config):
    """Attributes: reduction: mean over all values, or sum over each element's and mean over elements."""

    reduction: Literal["mean", "sum"] = "mean"


class CrossEntropyConfig(Config):
    """Cross entropy of class scores.

    Attributes:
        smoothing: share of the target spread over all classes.
        ignore: label that does not count.
    """

    smoothing: float = Field(0.0, ge=0, lt=1)
    ignore: int = -100


class AlignConfig(Config):
    """How far vectors are from those that they should become.

    Attributes:
        distance: l2 = length of the difference (not squared), mse = mean square of its values, cosine = 1 - cos,
            smooth_l1 = absolute values, quadratic below beta.
        beta: of smooth_l1.
    """

    distance: Literal["l2", "mse", "cosine", "smooth_l1"] = "l2"
    beta: float = Field(1.0, gt=0)
