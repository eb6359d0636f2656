"""Configs of the metrics; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_data.digits.config import DigitSplit
from mmm_graph.config import Config


class DigitAccuracyConfig(DigitSplit):
    """The classifier: a support vector machine with a Gaussian kernel, fitted on the train split.

    Attributes:
        c: weight of the errors against the margin.
        gamma: inverse squared width of the kernel, for features in [0,1].
        cells: the classifier sees the image averaged into cells x cells.
    """

    c: float = Field(10.0, gt=0.0)
    gamma: float = Field(0.1, gt=0.0)
    cells: int = Field(16, ge=2)


class NearestConfig(DigitSplit):
    """Distance to the training images.

    Attributes:
        shift: largest move, along each axis, under which a copy is still found [px].
        copy_share: a copy is nearer to a training image than this share of the median distance of real
            test images.
    """

    shift: int = Field(2, ge=0, le=8)
    copy_share: float = Field(0.5, gt=0.0, lt=1.0)


class RecallConfig(Config):
    """Attributes: k: how many of the nearest keys count."""

    k: int = Field(1, ge=1)


class ToneConfig(Config):
    """Attributes: share: of the energy of a sound that the two tones of a key hold at least."""

    share: float = Field(0.5, gt=0.0, le=1.0)


class MotionConfig(Config):
    """Attributes: least: how far the centre goes at least, from the first frame to the last [px]."""

    least: float = Field(4.0, gt=0.0)


class WorldAnswerConfig(Config):
    """What is judged.

    Attributes:
        medium: what answers have.
        size: height and width of pictures and videos [px], even; a digit fills a picture, and half a frame.
    """

    medium: Literal["image", "audio", "video"]
    size: int = Field(32, ge=8, multiple_of=2)
