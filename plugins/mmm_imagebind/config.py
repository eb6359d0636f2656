"""Sizes of ImageBind's encoders; torch-free. The defaults are those of imagebind_huge."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field, model_validator

from mmm_graph.config import Config

EPS = 1e-6
"""Of all norms but that of patches of sound, which is 1e-5."""


class TrunkConfig(Config):
    """A transformer over patches, and a vector of what the class token has become.

    Attributes:
        width, depth, num_heads: of the transformer.
        hidden: width inside the MLPs.
        out_dim: of the vector.
    """

    width: int = Field(1280, ge=1)
    depth: int = Field(32, ge=1)
    num_heads: int = Field(16, ge=1)
    hidden: int = Field(5120, ge=1)
    out_dim: int = Field(1024, ge=1)
    sound: ClassVar[bool]
    """Patches are normed instead of what goes into the first block, attention has one key and value more than there are
    tokens, and the vector is scaled."""

    @model_validator(mode="after")
    def _check_heads(self) -> TrunkConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        return self

    @property
    @abstractmethod
    def patches(self) -> int:
        """Of one input."""

    @property
    def tokens(self) -> int:
        """The class token and the patches."""
        return self.patches + 1


class VisionConfig(TrunkConfig):
    """Pictures, and clips of a few frames; a picture is a clip that stands still.

    Attributes:
        size: height = width of the pictures [px].
        patch: side of a patch [px].
        frames: of a clip; a patch spans them all.
        width, depth, num_heads: of the transformer.
        hidden: width inside the MLPs.
        out_dim: of the vector.
    """

    size: int = Field(224, ge=1)
    patch: int = Field(14, ge=1)
    frames: int = Field(2, ge=1)
    sound: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check_size(self) -> VisionConfig:
        if self.size % self.patch:
            raise ValueError(f"size {self.size} does not divide into patches of {self.patch} px")
        return self

    @property
    def patches(self) -> int:
        """Of one picture or clip."""
        return (self.size // self.patch) ** 2


class SoundConfig(TrunkConfig):
    """Mel spectrograms, cut into overlapping patches.

    Attributes:
        frames, bins: frames and mel bins of a spectrogram.
        patch: side of a patch [frames and bins].
        stride: from one patch to the next [frames and bins]; what is left over is not looked at.
        width, depth, num_heads: of the transformer.
        hidden: width inside the MLPs.
        out_dim: of the vector.
    """

    frames: int = Field(204, ge=1)
    bins: int = Field(128, ge=1)
    patch: int = Field(16, ge=1)
    stride: int = Field(10, ge=1)
    width: int = Field(768, ge=1)
    depth: int = Field(12, ge=1)
    num_heads: int = Field(12, ge=1)
    hidden: int = Field(3072, ge=1)
    sound: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check_patch(self) -> SoundConfig:
        if self.patch > min(self.frames, self.bins):
            said = f"a spectrogram of {self.frames} frames x {self.bins} bins has no patch of {self.patch} x "
            raise ValueError(f"{said}{self.patch}")
        return self

    @property
    def patches(self) -> int:
        """Of a spectrogram."""
        rows, columns = ((n - self.patch) // self.stride + 1 for n in (self.bins, self.frames))
        return rows * columns
