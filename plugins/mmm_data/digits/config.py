"""Configs of the digit datasets; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config

Split = Literal["train", "test"]


class DigitSplit(Config):
    """Which scans, and how they become images; datasets and metrics share it and so mean the same pixels.

    Attributes:
        size: height and width of an image [px].
        margin: empty border around the 8x8 scan [pixels of the scan]; a jittered digit stays inside it.
        split_seed: decides which scans of each class are in the test split.
        test_share: share of each class in the test split.
    """

    size: int = Field(32, ge=8, le=256)
    margin: float = Field(1.0, ge=0.0, le=8.0)
    split_seed: int = 0
    test_share: float = Field(0.2, gt=0.0, lt=1.0)


class DigitsConfig(DigitSplit):
    """The dataset. Item i is scan i mod n in variation i // n; caption and jitter are keyed by (seed, i).

    Attributes:
        split: train or test; no scan is in both.
        batch: images a batch.
        repeat: variations of each scan; the length of the dataset is scans x repeat.
        seed: of captions and jitter.
        shift: largest displacement along each axis [pixels of the scan].
        rotate: largest rotation [degrees].
        zoom: largest relative change of size.
    """

    split: Split = "train"
    batch: int = Field(64, ge=1)
    repeat: int = Field(1, ge=1, le=1000)
    seed: int = 0
    shift: float = Field(0.0, ge=0.0, le=4.0)
    rotate: float = Field(0.0, ge=0.0, le=45.0)
    zoom: float = Field(0.0, ge=0.0, le=0.5)


class DigitPromptsConfig(Config):
    """Prompts for evaluation.

    Attributes:
        per_class: prompts for each of the ten digits.
        batch: prompts a batch.
        seed: decides which template phrases each prompt.
    """

    per_class: int = Field(50, ge=1, le=100_000)
    batch: int = Field(100, ge=1)
    seed: int = 0
