"""Configs of losses and training ops, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class DiffusionLossConfig(Config):
    """Squared error of a denoiser.

    Attributes:
        weighting: none = the simple loss; min_snr = levels with much signal count less (needs the port snr).
        gamma: signal-to-noise ratio beyond which min_snr gives no more weight.
        prediction: what the denoiser predicts; must be the scheduler's.
    """

    weighting: Literal["none", "min_snr"] = "none"
    gamma: float = Field(5.0, gt=0)
    prediction: Literal["epsilon", "v", "sample", "flow"] | None = None


class ErrorConfig(Config):
    """Attributes: reduction: mean over all values, or sum over each element's and mean over elements."""

    reduction: Literal["mean", "sum"] = "mean"


class KLConfig(Config):
    """Attributes: reduction: sum over an element's values and mean over elements, or mean over all values."""

    reduction: Literal["sum", "mean"] = "sum"


class CrossEntropyConfig(Config):
    """Cross entropy of class scores.

    Attributes:
        smoothing: share of the target spread over all classes.
        ignore: label that does not count.
    """

    smoothing: float = Field(0.0, ge=0, lt=1)
    ignore: int = -100


class DropConfig(Config):
    """Attributes: p: share of elements that lose their condition."""

    p: float = Field(0.1, ge=0, le=1)


class IdsDropConfig(DropConfig):
    """Attributes: value: id that stands for "no condition"."""

    value: int = Field(ge=0)
