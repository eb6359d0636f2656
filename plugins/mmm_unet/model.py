"""The U-Net as a list of parts: embedding, rows of the layout, head. Axes: b batch, c h w, l pixels, t text tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import PixelAttention
from mmm_graph.nn.conv import Conv2d, Downsample, Upsample
from mmm_graph.nn.init import zero
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.nn.parts import State, known, need, run_parts
from mmm_graph.nn.pixel_transformer import PixelTransformer
from mmm_graph.nn.resnet import Resnet
from mmm_graph.nn.unet_layout import Level, Row, layout
from mmm_unet.config import UNetConfig
from mmm_unet.embed import Embed


class UNet(nn.Module):
    """Predicts noise, velocity or the clean sample from x [b,c,h,w] at times t [b] under a condition.

    Source: Ho et al. 2020 (arXiv:2006.11239); Rombach et al. 2021 (arXiv:2112.10752).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        rows = layout(config)
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({row.name: FORMS[row.form](config, row) for row in rows})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds?, .mask?, .label?, .pooled?, .sizes?, .guidance?} -> {pred}."""
        return {"pred": need(run_parts(self.parts, self.parts, state), "pred", "the U-Net")}


class Block(nn.Module):
    """A residual block and what its level attends to: h (and a skip) -> h (and a skip)."""

    def __init__(self, config: UNetConfig, row: Row) -> None:
        super().__init__()
        self.reads, self.writes = row.reads_skip, row.writes_skip
        self.resnet = resnet(config, row.in_channels + row.skip_channels, row.level.channels)
        self.attn = attention(config, row.level)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", "the U-Net")
        if self.reads:
            h = torch.cat([h, need(state, self.reads, "the U-Net")], dim=1)
        h = attend(self.attn, self.resnet(h, state["temb"]), state)
        return {"h": h, self.writes: h} if self.writes else {"h": h}


class Middle(nn.Module):
    """Residual block, attention, residual block at the coarsest level: h -> h."""

    def __init__(self, config: UNetConfig, row: Row) -> None:
        super().__init__()
        width = row.level.channels
        self.resnet1 = resnet(config, width, width)
        self.attn = attention(config, row.level)
        self.resnet2 = resnet(config, width, width)

    def forward(self, state: State) -> dict[str, Tensor]:
        temb = state["temb"]
        h = self.resnet1(need(state, "h", "the U-Net"), temb)
        return {"h": self.resnet2(attend(self.attn, h, state), temb)}


class Half(nn.Module):
    """Halves the resolution: h -> h and a skip."""

    def __init__(self, config: UNetConfig, row: Row) -> None:
        super().__init__()
        self.writes = row.writes_skip
        padding = (1, 1) if config.down_padding == "both" else (0, 1)
        self.down = Downsample(row.in_channels, padding)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = self.down(state["h"])
        return {"h": h, self.writes: h}


class Double(nn.Module):
    """Doubles the resolution: h -> h."""

    def __init__(self, config: UNetConfig, row: Row) -> None:
        super().__init__()
        self.up = Upsample(row.in_channels)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.up(state["h"])}


class Head(nn.Module):
    """h -> pred; zero at initialisation."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.norm = GroupNorm(config.groups, config.channels[0], config.eps)
        self.conv = Conv2d(config.channels[0], config.out_channels)
        zero(self.conv)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"pred": self.conv(F.silu(self.norm(need(state, "h", "the U-Net"))))}


class SelfAttention(nn.Module):
    """Attention between the pixels of h; reads no condition."""

    def __init__(self, config: UNetConfig, level: Level) -> None:
        super().__init__()
        self.pixels = PixelAttention(level.channels, level.num_heads, config.groups, config.eps)

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = self.pixels(h)
        return y


def attention(config: UNetConfig, level: Level) -> nn.Module:
    """What a level attends to; see `attend`."""
    if level.attention in ("cross", "twice"):
        cond_dim = known(config.cond_dim, "cond_dim") if level.attention == "cross" else None
        return PixelTransformer(
            *(level.channels, cond_dim, level.num_heads),
            layers=level.transformer_layers,
            groups=config.groups,
            linear=config.linear_projection,
        )
    return SelfAttention(config, level) if level.attention == "self" else nn.Identity()


def attend(attention: nn.Module, h: Tensor, state: State) -> Tensor:
    """h through the attention of a level, which may read the condition."""
    told: tuple[Tensor | None, ...] = ()
    if isinstance(attention, PixelTransformer) and attention.reads:
        told = (need(state, "cond.embeds", "a U-Net with cross-attention"), state.get("cond.mask"))
    y: Tensor = attention(h, *told)
    return y


def resnet(config: UNetConfig, in_channels: int, out_channels: int) -> Resnet:
    """A residual block with the time vector and norms of the config."""
    return Resnet(
        in_channels, out_channels, time_dim=config.temb_dim, num_groups=config.groups, eps=config.eps
    )


FORMS = {"block": Block, "middle": Middle, "down": Half, "up": Double}
