"""Configs of the losses that compare the samples of a batch, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class PairsConfig(Config):
    """What all losses over pairs of images and texts have.

    Attributes:
        normalize: vectors are made as long as 1 first.
        local: each rank takes the loss of its own rows against those of all; the mean over ranks is the whole loss, at
            a fraction of the memory.
        repeats: what pairs with equal ids are to each other: positives, or mask = neither positive nor negative.
    """

    normalize: bool = True
    local: bool = False
    repeats: Literal["positives", "mask"] = "positives"


class InfoNCEConfig(PairsConfig):
    """One right partner, or several, among all of the batch.

    Attributes:
        temperature: cosines are divided by it where no scale is linked.
        smoothing: share of the target spread over the whole batch; 0.1 in BLIP-2.
    """

    temperature: float = Field(0.07, gt=0)
    smoothing: float = Field(0.0, ge=0, lt=1)


class SigLIPConfig(PairsConfig):
    """Each pair of an image and a text is right or wrong by itself."""


class CyCLIPConfig(Config):
    """Consistent similarities.

    Attributes:
        cross: weight of the consistency between the modalities.
        within: weight of the consistency inside them.
        normalize: vectors are made as long as 1 first.
    """

    cross: float = Field(0.25, ge=0)
    within: float = Field(0.25, ge=0)
    normalize: bool = True


class TripletConfig(Config):
    """The anchor nearer to the positive than to the negative.

    Attributes:
        distance: euclidean, its square, or cosine = 1 - cos.
        margin: by how much nearer, in units of the distance.
        soft: log(1 + exp(d_positive - d_negative)) instead, which has no margin and never stops.
        normalize: vectors are made as long as 1 first.
    """

    distance: Literal["euclidean", "squared", "cosine"] = "euclidean"
    margin: float = Field(0.2, ge=0)
    soft: bool = False
    normalize: bool = False


class MinedTripletConfig(TripletConfig):
    """Triplets that are looked for in the batch.

    Attributes:
        mining: hard: for each anchor the farthest positive and the nearest negative; semi_hard: for each positive the
            nearest negative beyond it, or else the farthest negative; all: every triplet.
        active_only: the mean is over triplets whose loss is not 0.
        both: where other is linked, its vectors are anchors too; both directions count a half.
    """

    mining: Literal["hard", "semi_hard", "all"] = "hard"
    active_only: bool = False
    both: bool = True
