"""Configs of the losses of autoencoders, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmm_graph.config import Config


class KLConfig(Config):
    """Attributes: reduction: sum over an element's values and mean over elements, or mean over all values."""

    reduction: Literal["sum", "mean"] = "sum"


class SampleConfig(Config):
    """Latents are (z - shift) * scale, as those of the autoencoder: its scaling_factor and shift_factor."""

    scale: float = Field(1.0, gt=0)
    shift: float = 0.0


class PerceptualConfig(Config):
    """Difference of the features that another network sees.

    Attributes:
        layers: weight of each layer, in the order of the links; none given: each counts 1.
        normalize: the channels at each place are made as long as 1 first.
    """

    layers: tuple[Annotated[float, Field(ge=0)], ...] = ()
    normalize: bool = True


class AdversaryConfig(Config):
    """Attributes: kind: hinge, or non_saturating = the logistic loss."""

    kind: Literal["hinge", "non_saturating"] = "hinge"
