"""Encoders of ImageBind as parts. Axes: b batch, c h w of pictures, f frames, m mel bins, l tokens, d width."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.attention import Attention, merge_heads, split_heads
from mmm_graph.nn.encoder import EncoderBlock, FinalNorm, Tap, Vector
from mmm_graph.nn.init import xavier
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.patch import mel_patches
from mmm_imagebind.config import EPS, SoundConfig, TrunkConfig, VisionConfig
from mmm_imagebind.parts import forward_path

READER = "the encoder"
LARGEST_SCALE = 100.0


class ImageBind(nn.Module):
    """Pictures [b,c,h,w], clips [b,f,c,h,w] or spectrograms [b,f,m] to embeds [b,l,d] and one vector [b,out_dim] each.

    Source: Girdhar et al. 2023 (arXiv:2305.05665), section 3.3 and appendix B; its published code.
    """

    def __init__(self, config: VisionConfig | SoundConfig) -> None:
        super().__init__()
        self.config = config
        embed = EmbedSound(config) if isinstance(config, SoundConfig) else EmbedVision(config)
        self.parts = nn.ModuleDict({"embed": embed})
        self.parts.update({f"block{i}": make_block(config) for i in range(config.depth)})
        self.parts["norm"] = FinalNorm(config.width, EPS)
        self.parts.update({"tap": Tap(), "patches": Tap(skip=1), "pool": Pool(config), "vector": Vector()})
        initialise(self)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{image} or {video} or {mel} -> {embeds [b,l,d] after the final norm, pooled [b,out_dim]}."""
        full = run_parts(self.parts, forward_path(self.config), state)
        return {key: need(full, key, READER) for key in ("embeds", "pooled")}


class Tokens(nn.Module):
    """Patches after the class token, with positions."""

    def __init__(self, config: TrunkConfig, size: int) -> None:
        super().__init__()
        self.patch = nn.Linear(size, config.width, bias=False)
        self.class_token = nn.Parameter(torch.empty(config.width))
        self.position = nn.Embedding(config.tokens, config.width)

    def placed(self, patches: Tensor) -> Tensor:
        """b l-1 d -> b l d."""
        first = self.class_token.expand(len(patches), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position.weight


class EmbedVision(Tokens):
    """image or video -> h [b,l,d], normed: patches that span all frames of a clip, row by row."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__(config, 3 * config.frames * config.patch**2)
        self.config = config
        self.norm = nn.LayerNorm(config.width, EPS)

    def forward(self, state: State) -> dict[str, Tensor]:
        config, image, clip = self.config, state.get("image"), state.get("video")
        if image is not None:
            clip = image[:, None].expand(-1, config.frames, -1, -1, -1)
        elif clip is None:
            clip = need(state, "video", READER)
        if clip.shape[1] != config.frames or clip.shape[3:] != (config.size, config.size):
            found = f"clips of {clip.shape[1]} frames of {clip.shape[3]} x {clip.shape[4]} px"
            message = f"{found}, but the encoder takes {config.frames} of {config.size} x {config.size}"
            hint = "image.preprocess: set size or crop; video.clips and video.stack: set num_frames"
            raise RunError(problem("E742", message, hint=hint))
        side = config.patch
        cut = clip.unfold(3, side, side).unfold(4, side, side)  # b f c rows columns side side
        patches = cut.permute(0, 3, 4, 2, 1, 5, 6).flatten(3).flatten(1, 2)
        return {"h": self.norm(self.placed(self.patch(patches)))}


class EmbedSound(Tokens):
    """mel -> h [b,l,d]: overlapping patches, normed, those of the lowest bins first."""

    def __init__(self, config: SoundConfig) -> None:
        super().__init__(config, config.patch**2)
        self.config = config
        self.norm = nn.LayerNorm(config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        config, size = self.config, (self.config.frames, self.config.bins)
        strides = (config.stride, config.stride)
        patches = mel_patches(need(state, "mel", READER), size, config.patch, strides, READER)
        return {"h": self.placed(self.norm(self.patch(patches)))}


class SoundAttention(Attention):
    """Self-attention with a learned key and value beside those of the tokens: b l d -> b l d."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.more_k, self.more_v = (nn.Parameter(torch.empty(dim)) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` as of Attention, over one key more."""
        q, k, v = self.project(self, x)
        k, v = (
            torch.cat([y, more.expand(len(x), 1, -1)], dim=1)
            for y, more in ((k, self.more_k), (v, self.more_v))
        )
        q, k, v = (split_heads(y, self.num_heads) for y in (q, k, v))
        y: Tensor = self.out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
        return y


def make_block(config: TrunkConfig) -> EncoderBlock:
    """One of its blocks."""
    block = EncoderBlock(config.width, config.num_heads, config.hidden, "gelu", eps=EPS)
    if config.sound:
        block.attn = SoundAttention(config.width, config.num_heads)
    return block


class Pool(nn.Module):
    """h -> pooled: the class token, projected, of length 1, or for sounds of the length `exp(scale)`."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.projection = nn.Linear(config.width, config.out_dim, bias=False)
        self.scale = nn.Parameter(torch.empty(1)) if config.sound else None

    def forward(self, state: State) -> dict[str, Tensor]:
        y = F.normalize(self.projection(need(state, "h", READER)[:, 0]), dim=-1)
        return {"pooled": y if self.scale is None else self.scale.exp().clamp(max=LARGEST_SCALE) * y}


def initialise(model: ImageBind) -> None:
    """Xavier; tokens and positions normal in 1/sqrt(width); sounds are scaled by 20."""
    xavier(model)
    inner = model.config.width**-0.5
    for name, parameter in model.named_parameters():
        if name.endswith(("class_token", "position.weight")):
            nn.init.normal_(parameter, std=inner)
        elif name.endswith(("more_k", "more_v")):
            nn.init.normal_(parameter, std=(2 / (1 + model.config.width)) ** 0.5)
        elif name.endswith("scale"):
            nn.init.constant_(parameter, math.log(20.0))
