"""Sizes of HiFi-GAN; the defaults are those of AudioLDM's vocoder."""

from __future__ import annotations

from math import prod

from pydantic import Field, model_validator

from mmm_graph.config import Config


class HifiGanConfig(Config):
    """Transposed convolutions from frames to samples, each followed by residual blocks of several kernels.

    Attributes:
        bins: mel bins of a frame.
        rate: of the sound [Hz].
        frames: of the spectrogram that the cost table is made for.
        width: channels before the first level; each level halves them.
        rates: how many samples each level makes of one; their product is the samples of a frame.
        kernels: of the transposed convolution of each level, at least as long as its rate.
        block_kernels: of the residual blocks of a level, odd; what they give is averaged.
        dilations: for each of these blocks, the dilations of its steps.
        slope: of the leaky rectifiers, but for the last, whose is 0.01.
        normalise: the spectrogram becomes (mel - mean) / scale, by bin; both come with the weights.
    """

    bins: int = Field(64, ge=1)
    rate: int = Field(16000, ge=1)
    frames: int = Field(512, ge=1)
    width: int = Field(1024, ge=1)
    rates: tuple[int, ...] = Field((5, 4, 2, 2, 2), min_length=1)
    kernels: tuple[int, ...] = (16, 16, 8, 4, 4)
    block_kernels: tuple[int, ...] = Field((3, 7, 11), min_length=1)
    dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    slope: float = 0.1
    normalise: bool = False

    @model_validator(mode="after")
    def _check(self) -> HifiGanConfig:
        if len(self.kernels) != len(self.rates):
            raise ValueError(f"kernels has {len(self.kernels)} entries for {len(self.rates)} rates")
        if len(self.dilations) != len(self.block_kernels):
            raise ValueError(
                f"dilations has {len(self.dilations)} entries for {len(self.block_kernels)} block_kernels"
            )
        for rate, kernel in zip(self.rates, self.kernels, strict=True):
            if not 1 <= rate <= kernel:
                raise ValueError(f"a kernel of {kernel} is shorter than its rate {rate}, or that is none")
        if any(kernel % 2 == 0 for kernel in self.block_kernels):
            raise ValueError(f"block_kernels must be odd, found {list(self.block_kernels)}")
        if self.width % 2 ** len(self.rates):
            raise ValueError(f"width {self.width} cannot be halved {len(self.rates)} times")
        return self

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return prod(self.rates)

    def channels(self, level: int) -> int:
        """Channels that a level gives; -1: those before the first."""
        return self.width // 2 ** (level + 1)

    def length(self, level: int) -> int:
        """Samples that come out of a level at `frames` frames; -1: of the first convolution."""
        found = self.frames
        for rate, kernel in zip(self.rates[: level + 1], self.kernels, strict=False):
            found = found * rate + (kernel - rate) % 2
        return found
