"""Sizes of the autoencoder; the defaults are Stable Diffusion 1.5."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mmm_graph.config import Config


class VaeConfig(Config):
    """A convolutional autoencoder with a Gaussian latent.

    Attributes:
        image_channels: c of the image.
        latent_channels: c of the latents.
        sample_size: height = width of the image that the cost table is made for.
        channels: width of each level, finest first; each further level halves the resolution.
        layers_per_block: residual blocks of a level of the encoder; the decoder has one more.
        groups: of the group norms.
        mid_attention: attention between pixels at the coarsest level.
        quant_conv, post_quant_conv: a 1x1 convolution around the latent.
        scaling_factor, shift_factor: latents at the ports are (z - shift) * scaling.
        factor: image size over latent size; follows from `channels` and may be left out.
    """

    image_channels: int = 3
    latent_channels: int = 4
    sample_size: int = 512
    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    groups: int = 32
    mid_attention: bool = True
    quant_conv: bool = True
    post_quant_conv: bool = True
    scaling_factor: float = 0.18215
    shift_factor: float = 0.0
    factor: int = Field(default=0, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _derive_factor(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        channels = values.get("channels", cls.model_fields["channels"].default)
        factor = 2 ** (len(channels) - 1) if isinstance(channels, (tuple, list)) and channels else 0
        return {"factor": factor, **values}

    @model_validator(mode="after")
    def _check(self) -> VaeConfig:
        if not self.channels:
            raise ValueError("channels is empty")
        if self.factor != 2 ** (len(self.channels) - 1):
            raise ValueError(
                f"factor is {self.factor}, but {len(self.channels)} levels halve to 1/{2 ** (len(self.channels) - 1)}"
            )
        for width in self.channels:
            if width % self.groups:
                raise ValueError(f"{width} channels do not divide into {self.groups} groups")
        return self


class EncodeConfig(Config):
    """sample: draw from the posterior instead of taking its mode."""

    sample: bool = False


class TileConfig(Config):
    """tile: side in pixels, a multiple of the model's factor. overlap: the part of a tile that the next one shares."""

    tile: int = Field(default=512, ge=1)
    overlap: float = Field(default=0.25, ge=0, lt=1)


class EncodeTilesConfig(TileConfig):
    """sample: draw from the posterior instead of taking its mode."""

    sample: bool = False


class NoiseConfig(Config):
    """height, width: size in pixels of the image that the noise will become; multiples of the model's factor."""

    height: int = Field(default=512, ge=1)
    width: int = Field(default=512, ge=1)


class FramesNoiseConfig(NoiseConfig):
    """frames: of the clip that the noise will become; height, width: as of NoiseConfig."""

    frames: int = Field(default=16, ge=1)
