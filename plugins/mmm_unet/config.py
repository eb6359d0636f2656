"""Sizes of a U-Net denoiser; the defaults are Stable Diffusion 1.5."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config
from mmm_graph.nn.unet_layout import Attend, Level


class UNetConfig(Config):
    """A U-Net over pixels or latents.

    Attributes:
        in_channels, out_channels: of x and of the prediction.
        sample_size: height = width of x that the cost table is made for.
        channels: width of each level, finest first; each further level halves the resolution.
        layers_per_block: residual blocks on the way down, one more on the way up.
        attention: what each level attends to, on both ways.
        mid_attention: the same for the middle.
        num_heads: heads of each level (one number: of all).
        head_dim: if given, heads are channels / head_dim and `num_heads` is ignored.
        transformer_layers: layers of each transformer, for `cross` levels (one number: of all).
        cond_dim: width of cond.embeds; solved from the links when left out.
        size_dim: width of the sinusoid of each of the six numbers of cond.sizes, which are added to the time together
            with cond.pooled (SDXL); None: neither is read.
        pooled_beside: cond.pooled, projected to the width of the time, stands beside it instead (AudioLDM).
        pooled_dim: width of cond.pooled; solved from the links when left out.
        guidance_dim: width of the sinusoid of cond.guidance, which is added to that of the time (distilled models, such
            as LCM); None: it is not read.
        linear_projection: transformers project by a linear layer instead of a 1x1 convolution.
        num_classes: rows of the class embedding, the one that means "no class" included (guidance needs one);
            None: cond.label is not read.
        groups, eps: of the group norms.
        down_padding: "both" or "after": where zeros are added before the strided convolutions.
        cos_first, freq_shift: form of the sinusoid of the time.
        time_scale: multiplies t; default 1000 for flow, whose times are in [0, 1], else 1.
        prediction: what the output means.
    """

    in_channels: int = 4
    out_channels: int = 4
    sample_size: int = 64
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention: tuple[Attend, ...] = ("cross", "cross", "cross", "none")
    mid_attention: Attend = "cross"
    num_heads: int | tuple[int, ...] = 8
    head_dim: int | None = None
    transformer_layers: int | tuple[int, ...] = 1
    cond_dim: int | None = None
    size_dim: int | None = Field(None, ge=2, multiple_of=2)
    pooled_beside: bool = False
    pooled_dim: int | None = None
    guidance_dim: int | None = Field(None, ge=4, multiple_of=2)
    linear_projection: bool = False
    num_classes: int | None = None
    groups: int = 32
    eps: float = 1e-5
    down_padding: Literal["both", "after"] = "both"
    cos_first: bool = True
    freq_shift: float = 0.0
    time_scale: float | None = None
    prediction: Literal["epsilon", "v", "sample", "flow"] = "epsilon"

    @model_validator(mode="after")
    def _check(self) -> UNetConfig:
        for name in ("attention", "num_heads", "transformer_layers"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != len(self.channels):
                raise ValueError(f"{name} has {len(value)} entries for {len(self.channels)} channels")
        for level in (*self.levels, self.middle):
            if level.channels % self.groups:
                raise ValueError(f"{level.channels} channels do not divide into {self.groups} groups")
            if level.attention != "none" and level.channels % level.num_heads:
                raise ValueError(f"{level.channels} channels do not divide into {level.num_heads} heads")
        if self.cond_dim is not None and not self.is_cross:
            raise ValueError("cond_dim is set but no level has attention `cross`")
        if self.pooled_dim is not None and self.size_dim is None and not self.pooled_beside:
            raise ValueError("pooled_dim is set but size_dim is not, so cond.pooled would not be read")
        if self.pooled_beside and self.size_dim is not None:
            raise ValueError("pooled_beside and size_dim both say how cond.pooled is read; set one of them")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        """The resolutions, finest first."""
        return tuple(self._level(i, kind) for i, kind in enumerate(self.attention))

    @property
    def middle(self) -> Level:
        """The middle, at the width of the coarsest level."""
        return self._level(len(self.channels) - 1, self.mid_attention)

    def _level(self, i: int, attention: Attend) -> Level:
        width, layers = self.channels[i], self.transformer_layers
        heads = self.num_heads if isinstance(self.num_heads, int) else self.num_heads[i]
        if self.head_dim is not None:
            heads = max(1, width // self.head_dim)
        return Level(width, attention, heads, layers if isinstance(layers, int) else layers[i])

    @property
    def is_cross(self) -> bool:
        """Whether cond.embeds is read."""
        return "cross" in (*self.attention, self.mid_attention)

    @property
    def stride(self) -> int:
        """Height and width of x are multiples of it."""
        return 1 << (len(self.channels) - 1)

    @property
    def time_dim(self) -> int:
        """Width of the time vector."""
        return 4 * self.channels[0]

    @property
    def temb_dim(self) -> int:
        """Width of the time vector and of what stands beside it, which the residual blocks read."""
        return 2 * self.time_dim if self.pooled_beside else self.time_dim

    @property
    def added_dim(self) -> int:
        """Width of what pooled text and sizes give together; 0 where they are not read."""
        return 6 * self.size_dim + (self.pooled_dim or 0) if self.size_dim else 0

    @property
    def times(self) -> float:
        """What t is multiplied by before it is embedded."""
        if self.time_scale is not None:
            return self.time_scale
        return 1000.0 if self.prediction == "flow" else 1.0
