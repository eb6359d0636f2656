"""What the U-Net begins with: the first convolution, and the time with all that is added to it. Axes: b batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.conv import Conv2d, channels_last, check_size
from mmm_graph.nn.embed import TimeEmbedding, sinusoid
from mmm_graph.nn.parts import State, known, need, refuse
from mmm_unet.config import UNetConfig

GUIDANCE_SCALE = 1000.0
"""Multiplies the guidance, whatever the times are multiplied by."""


class Embed(nn.Module):
    """x, t and what of the condition belongs to the time -> h, temb (time vector after its activation), skip0."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.is_guided = config.guidance_dim is not None
        self.time = GuidedTime(config) if self.is_guided else time_embedding(config)
        self.label = nn.Embedding(config.num_classes, config.time_dim) if config.num_classes else None
        self.added = SizeEmbedding(config) if config.size_dim else None
        self.beside: nn.Linear | None = None
        if config.pooled_beside:
            self.beside = nn.Linear(known(config.pooled_dim, "pooled_dim"), config.time_dim)
        self.stride = config.stride
        self.conv = Conv2d(config.in_channels, config.channels[0])

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, "x", "the U-Net")
        check_size(x, self.stride)
        h = channels_last(self.conv(x))
        return {"h": h, "temb": F.silu(self.condition(state)), "skip0": h}

    def condition(self, state: State) -> Tensor:
        """Time, guidance, class, pooled text and sizes: b d; b 2d where the pooled text stands beside the time."""
        told: tuple[Tensor, ...] = (need(state, "t", "the U-Net"),)
        if self.is_guided:
            told += (need(state, "cond.guidance", "a U-Net with guidance_dim"),)
        else:
            refuse(state, "cond.guidance", "a U-Net without guidance_dim")
        time: Tensor = self.time(*told)
        if self.label is not None:
            time = time + self.label(need(state, "cond.label", "a U-Net with num_classes"))
        else:
            refuse(state, "cond.label", "a U-Net without num_classes")
        if self.added is not None:
            keys = ("cond.pooled", "cond.sizes")
            time = time + self.added(*(need(state, key, "a U-Net with size_dim") for key in keys))
        else:
            refuse(state, "cond.sizes", "a U-Net without size_dim")
            if self.beside is None:
                refuse(state, "cond.pooled", "a U-Net without size_dim or pooled_beside")
        if self.beside is not None:
            pooled = need(state, "cond.pooled", "a U-Net with pooled_beside")
            time = torch.cat([time, self.beside(pooled)], dim=1)
        return time


class GuidedTime(nn.Module):
    """Times and guidance scales to vectors; the scale is told in the sinusoid of the time: b, b -> b d.

    Source: Meng et al. 2022 (arXiv:2210.03142), section 3.1; Luo et al. 2023 (arXiv:2310.04378), section 4.3.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.freq_dim, self.guidance_dim = config.channels[0], known(config.guidance_dim, "guidance_dim")
        self.shift, self.cos_first, self.scale = config.freq_shift, config.cos_first, config.times
        self.up = nn.Linear(self.freq_dim, config.time_dim)
        self.down = nn.Linear(config.time_dim, config.time_dim)
        self.guidance = nn.Linear(self.guidance_dim, self.freq_dim, bias=False)

    def forward(self, t: Tensor, guidance: Tensor) -> Tensor:
        dtype = self.up.weight.dtype
        waves = sinusoid(t.float() * self.scale, self.freq_dim, shift=self.shift, cos_first=self.cos_first)
        # The published weights count from 0 = no guidance, and have this form of the sinusoid.
        strength = (guidance.float() - 1) * GUIDANCE_SCALE
        told = sinusoid(strength, self.guidance_dim, shift=1.0, cos_first=False)
        y: Tensor = self.down(F.silu(self.up(waves.to(dtype) + self.guidance(told.to(dtype)))))
        return y


class SizeEmbedding(nn.Module):
    """Pooled text and the six numbers of the picture's size and cut, through two layers: b pooled_dim, b 6 -> b d.

    Source: Podell et al. 2023 (arXiv:2307.01952), sections 2.2 and 2.3.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        known(config.pooled_dim, "pooled_dim")
        self.size_dim = known(config.size_dim, "size_dim")
        self.shift, self.cos_first = config.freq_shift, config.cos_first
        self.up = nn.Linear(config.added_dim, config.time_dim)
        self.down = nn.Linear(config.time_dim, config.time_dim)

    def forward(self, pooled: Tensor, sizes: Tensor) -> Tensor:
        waves = sinusoid(sizes.flatten(), self.size_dim, shift=self.shift, cos_first=self.cos_first)
        told = torch.cat([pooled, waves.reshape(len(sizes), -1).to(pooled.dtype)], dim=1)
        y: Tensor = self.down(F.silu(self.up(told)))
        return y


def time_embedding(config: UNetConfig) -> TimeEmbedding:
    """Of the time alone."""
    return TimeEmbedding(
        config.channels[0],
        config.time_dim,
        shift=config.freq_shift,
        cos_first=config.cos_first,
        scale=config.times,
    )
