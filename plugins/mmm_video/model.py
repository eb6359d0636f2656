"""The U-Net of clips as a list of parts. Axes: b batch, c channels, f frames, h w, t text tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.conv import Conv2d, Downsample, Upsample, channels_last, check_size
from mmm_graph.nn.embed import TimeEmbedding
from mmm_graph.nn.init import zero
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.nn.parts import State, known, need, run_parts
from mmm_graph.nn.pixel_transformer import PixelTransformer
from mmm_graph.nn.resnet import Resnet
from mmm_graph.nn.temporal import TemporalConv, TemporalTransformer, as_clip, as_frames
from mmm_graph.nn.unet_layout import Level, Row, layout
from mmm_video.config import EMBED_HEADS, UNet3dConfig

READER = "the video U-Net"


class UNet3d(nn.Module):
    """Predicts noise, velocity or the clean sample from clips x [b,c,f,h,w] at times t [b] under a condition.

    Source: Wang et al. 2023, ModelScope (arXiv:2308.06571); diffusers, UNet3DConditionModel.
    """

    def __init__(self, config: UNet3dConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({row.name: FORMS[row.form](config, row) for row in layout(config)})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds, cond.mask?} -> {pred}."""
        return {"pred": need(run_parts(self.parts, self.parts, state), "pred", READER)}


class Embed(nn.Module):
    """x and t -> h, temb (time vector after its activation), skip0."""

    def __init__(self, config: UNet3dConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.time = TimeEmbedding(config.channels[0], config.time_dim, scale=config.times)
        self.conv = Conv2d(config.in_channels, config.channels[0])
        self.temporal = TemporalTransformer(config.channels[0], EMBED_HEADS, config.head_dim, config.groups)

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, "x", READER)
        check_size(x, self.stride)
        h = self.temporal(as_clip(channels_last(self.conv(as_frames(x))), len(x)))
        return {"h": h, "temb": F.silu(self.time(need(state, "t", READER))), "skip0": h}


class Block(nn.Module):
    """A residual block, and attention, in each frame and along them: h (and a skip) -> h (and a skip)."""

    def __init__(self, config: UNet3dConfig, row: Row) -> None:
        super().__init__()
        self.reads, self.writes = row.reads_skip, row.writes_skip
        self.conv = ClipResnet(config, row.in_channels + row.skip_channels, row.level.channels)
        self.attn = ClipTransformer(config, row.level) if row.level.attention == "cross" else None

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        if self.reads:
            h = torch.cat([h, need(state, self.reads, READER)], dim=1)
        h = self.conv(h, need(state, "temb", READER))
        if self.attn is not None:
            h = self.attn(h, state)
        return {"h": h, self.writes: h} if self.writes else {"h": h}


class Middle(nn.Module):
    """Residual block, attention, residual block at the coarsest level: h -> h."""

    def __init__(self, config: UNet3dConfig, row: Row) -> None:
        super().__init__()
        width = row.level.channels
        self.conv1 = ClipResnet(config, width, width)
        self.attn = ClipTransformer(config, row.level)
        self.conv2 = ClipResnet(config, width, width)

    def forward(self, state: State) -> dict[str, Tensor]:
        temb = need(state, "temb", READER)
        h = self.attn(self.conv1(need(state, "h", READER), temb), state)
        return {"h": self.conv2(h, temb)}


class Half(nn.Module):
    """Halves height and width: h -> h and a skip."""

    def __init__(self, config: UNet3dConfig, row: Row) -> None:
        super().__init__()
        self.writes = row.writes_skip
        self.down = Downsample(row.in_channels)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        h = as_clip(self.down(as_frames(h)), len(h))
        return {"h": h, self.writes: h}


class Double(nn.Module):
    """Doubles height and width: h -> h."""

    def __init__(self, config: UNet3dConfig, row: Row) -> None:
        super().__init__()
        self.up = Upsample(row.in_channels)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        return {"h": as_clip(self.up(as_frames(h)), len(h))}


class Head(nn.Module):
    """h -> pred; zero at initialisation."""

    def __init__(self, config: UNet3dConfig) -> None:
        super().__init__()
        self.norm = GroupNorm(config.groups, config.channels[0], config.eps)
        self.conv = Conv2d(config.channels[0], config.out_channels)
        zero(self.conv)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        return {"pred": as_clip(self.conv(F.silu(self.norm(as_frames(h)))), len(h))}


class ClipResnet(nn.Module):
    """A residual block in each frame, then one along them: b c f h w -> b out f h w."""

    def __init__(self, config: UNet3dConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.resnet = Resnet(
            in_channels, out_channels, time_dim=config.time_dim, num_groups=config.groups, eps=config.eps
        )
        self.temporal = TemporalConv(out_channels, config.groups)

    def forward(self, h: Tensor, temb: Tensor) -> Tensor:
        times = temb.repeat_interleave(h.shape[2], dim=0)
        y: Tensor = self.temporal(as_clip(self.resnet(as_frames(h), times), len(h)))
        return y


class ClipTransformer(nn.Module):
    """A transformer over the pixels of each frame that reads the condition, then one over the frames of each pixel."""

    def __init__(self, config: UNet3dConfig, level: Level) -> None:
        super().__init__()
        cond_dim = known(config.cond_dim, "cond_dim")
        self.spatial = PixelTransformer(
            level.channels, cond_dim, level.num_heads, groups=config.groups, linear=True
        )
        self.temporal = TemporalTransformer(level.channels, level.num_heads, config.head_dim, config.groups)

    def forward(self, h: Tensor, state: State) -> Tensor:
        cond, mask = need(state, "cond.embeds", READER), state.get("cond.mask")
        y: Tensor = self.temporal(as_clip(self.spatial(as_frames(h), cond, mask), len(h)))
        return y


FORMS = {"block": Block, "middle": Middle, "down": Half, "up": Double}
