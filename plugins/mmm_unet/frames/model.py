"""The U-Net of pictures over the frames of videos. Axes: b videos, f frames, c h w; between parts rows are (b f)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.conv import channels_last, check_size
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.temporal import as_clip, as_frames
from mmm_graph.nn.unet_layout import Row, layout
from mmm_unet.embed import Embed
from mmm_unet.frames.config import FramesConfig
from mmm_unet.frames.parts import frames_path
from mmm_unet.model import FORMS, Head, attend, attention, resnet

READER = "the U-Net"


class FramesUNet(nn.Module):
    """Predicts for x [b,c,f,h,w] what the U-Net does for each frame, at times t [b] under one condition a video.

    Its parts are those of the U-Net, but the middle is two, so that motion modules can stand at all places where they
    are in Guo et al. 2023.

    Source: Guo et al. 2023 (arXiv:2307.04725), section 4.2.
    """

    def __init__(self, config: FramesConfig) -> None:
        super().__init__()
        self.path = frames_path(config, None)
        self.parts = nn.ModuleDict({"embed": FramesEmbed(config)})
        for row in layout(config):
            if row.form == "middle":
                self.parts.update({"mid": MiddleStart(config, row), "mid_end": MiddleEnd(config, row)})
            else:
                self.parts[row.name] = FORMS[row.form](config, row)
        self.parts["head"] = FramesHead(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds?, .mask?, .label?, .pooled?, .sizes?, .guidance?} -> {pred}."""
        return {"pred": need(run_parts(self.parts, self.path, state), "pred", READER)}


class FramesEmbed(nn.Module):
    """x [b,c,f,h,w] and t -> h and skip0 of all frames, temb of each, and `frames` [b,f], their numbers."""

    def __init__(self, config: FramesConfig) -> None:
        super().__init__()
        self.frame = Embed(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, "x", READER)
        check_size(x, self.frame.stride)
        videos, _, frames = x.shape[:3]
        h = channels_last(self.frame.conv(as_frames(x)))
        temb = F.silu(self.frame.condition(state)).repeat_interleave(frames, 0)
        numbers = torch.arange(frames, device=x.device).expand(videos, frames)
        return {"h": h, "temb": temb, "skip0": h, "frames": numbers}


class MiddleStart(nn.Module):
    """Residual block and attention at the coarsest level: h -> h."""

    def __init__(self, config: FramesConfig, row: Row) -> None:
        super().__init__()
        self.resnet = resnet(config, row.level.channels, row.level.channels)
        self.attn = attention(config, row.level)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": attend(self.attn, self.resnet(need(state, "h", READER), state["temb"]), state)}


class MiddleEnd(nn.Module):
    """The residual block after it: h -> h."""

    def __init__(self, config: FramesConfig, row: Row) -> None:
        super().__init__()
        self.resnet = resnet(config, row.level.channels, row.level.channels)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.resnet(need(state, "h", READER), state["temb"])}


class FramesHead(nn.Module):
    """h of all frames -> pred [b,c,f,h,w]; zero at initialisation."""

    def __init__(self, config: FramesConfig) -> None:
        super().__init__()
        self.frame = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"pred": as_clip(self.frame(state)["pred"], len(need(state, "frames", READER)))}
