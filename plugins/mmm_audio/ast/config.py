"""Sizes of an audio spectrogram transformer; the defaults are those of the one trained on AudioSet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class AstConfig(Config):
    """A transformer over overlapping patches of a mel spectrogram.

    Attributes:
        frames, bins: frames and mel bins of a spectrogram.
        patch: side of a patch [frames and bins].
        time_stride, frequency_stride: from one patch to the next [frames, bins]; what is left over is not looked at.
        width, depth, num_heads: of the transformer.
        hidden: width inside the MLPs.
        activation: inside the MLPs.
        qkv_bias: queries, keys and values have a bias.
        labels: classes that the classifier tells apart; None: there is no classifier.
        eps: of the layer norms.
    """

    frames: int = Field(1024, ge=1)
    bins: int = Field(128, ge=1)
    patch: int = Field(16, ge=1)
    time_stride: int = Field(10, ge=1)
    frequency_stride: int = Field(10, ge=1)
    width: int = Field(768, ge=1)
    depth: int = Field(12, ge=1)
    num_heads: int = Field(12, ge=1)
    hidden: int = Field(3072, ge=1)
    activation: Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"] = "gelu"
    qkv_bias: bool = True
    labels: int | None = Field(None, ge=1)
    eps: float = 1e-12

    @model_validator(mode="after")
    def _check(self) -> AstConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.patch > min(self.frames, self.bins):
            raise ValueError(
                f"a spectrogram of {self.frames} frames x {self.bins} bins has no patch of "
                f"{self.patch} x {self.patch}"
            )
        return self

    @property
    def rows(self) -> int:
        """Of patches, along frequency."""
        return (self.bins - self.patch) // self.frequency_stride + 1

    @property
    def columns(self) -> int:
        """Of patches, along time."""
        return (self.frames - self.patch) // self.time_stride + 1

    @property
    def patches(self) -> int:
        """Of a spectrogram."""
        return self.rows * self.columns

    @property
    def tokens(self) -> int:
        """The class token, the distillation token and the patches."""
        return self.patches + 2
