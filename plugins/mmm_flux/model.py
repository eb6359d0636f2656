"""The FLUX transformer as a list of parts. Axes: b batch, c h w, l image tokens, t text tokens, d width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmm_flux.config import FluxConfig
from mmm_graph.nn.beside import AttentionBesideMlp
from mmm_graph.nn.embed import TimeEmbedding
from mmm_graph.nn.init import xavier, zero
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.kept import Kept
from mmm_graph.nn.norm import add_gated, modulate
from mmm_graph.nn.parts import State, known, need, refuse, run_parts
from mmm_graph.nn.patch import patch_grid, to_patches
from mmm_graph.nn.rope import GridRope, Waves
from mmm_graph.nn.stream import PooledEmbedding, Stream

READER = "FLUX"
GUIDANCE_SCALE = 1000.0
"""Multiplies the guidance, whatever the times are multiplied by."""


class Flux(nn.Module):
    """Predicts the velocity (or what `prediction` says) from x [b,c,h,w] at times t [b] under a text.

    A piece of an image that does not carry the text is run without cond.embeds: its blocks see image tokens only, and
    the exchange brings them the keys and values of the text. Blocks are the identity and the prediction is zero at
    initialisation (adaLN-Zero).

    Source: Black Forest Labs 2024 (https://github.com/black-forest-labs/flux).
    """

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"double{i}": DoubleBlock(config) for i in range(config.double_depth)})
        self.parts.update({f"single{i}": SingleBlock(config) for i in range(config.single_depth)})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds, cond.pooled, cond.guidance} -> {pred}."""
        need(state, "cond.embeds", READER)
        return {"pred": need(run_parts(self.parts, self.parts, state), "pred", READER)}


class Embed(nn.Module):
    """x, t and cond -> h [b,l,d], c [b,d] (condition after its activation), text [b,t,d] if any."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        width = config.width
        self.patch = nn.Linear(config.in_channels * config.patch_size**2, width)
        self.time = TimeEmbedding(config.freq_dim, width, scale=config.times)
        self.guidance = (
            TimeEmbedding(config.freq_dim, width, scale=GUIDANCE_SCALE) if config.guidance else None
        )
        self.pooled = PooledEmbedding(known(config.pooled_dim, "pooled_dim"), width)
        self.text = nn.Linear(known(config.cond_dim, "cond_dim"), width)
        self.kept = Kept()
        xavier(self.patch)
        xavier(self.text)
        for pair in (self.time, self.guidance, self.pooled):
            if pair is not None:
                nn.init.normal_(pair.up.weight, std=0.02)
                nn.init.normal_(pair.down.weight, std=0.02)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        x = need(state, "x", READER)
        patch_grid(x, self.patch_size)  # refuses what does not divide
        words = state.get("cond.embeds")
        return {
            "h": self.patch(to_patches(x, self.patch_size)),
            "c": F.silu(self.condition(state)),
            "text": None if words is None else self.kept.of(words, self.text),
        }

    def condition(self, state: State) -> Tensor:
        """Time, guidance and pooled text: b d."""
        c: Tensor = self.time(need(state, "t", READER))
        if self.guidance is None:
            refuse(state, "cond.guidance", f"{READER} with `guidance: false`")
        else:
            c = c + self.guidance(need(state, "cond.guidance", f"{READER} with `guidance: true`"))
        y: Tensor = c + self.pooled(need(state, "cond.pooled", READER))
        return y


class Positions(nn.Module):
    """The waves of the tokens that are here, text first; x is read for the shape of the grid."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.rope = GridRope(config.rope_dims)

    def forward(self, x: Tensor, text: Tensor | None) -> Waves:
        waves: Waves = self.rope(patch_grid(x, self.patch_size), count(text), x.device)
        return waves


class DoubleBlock(nn.Module):
    """Joint attention between two streams, each modulated and gated by c: h, text -> h, text."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.positions = Positions(config)
        self.image, self.text = (
            Stream(config.width, config.hidden, config.eps),
            Stream(config.width, config.hidden, config.eps),
        )
        self.attn = JointAttention(config.width, config.num_heads, qk_norm=True, eps=config.eps)
        xavier(self.attn)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        h, c, text = need(state, "h", READER), need(state, "c", READER), state.get("text")
        image, gates = self.image.enter(h, c)
        words, text_gates = (None, ()) if text is None else self.text.enter(text, c)
        image, words = self.attn(image, words, self.positions(need(state, "x", READER), text))
        h = self.image.leave(h, image, gates)
        return {"h": h, "text": None if text is None else in_range(self.text.leave(text, words, text_gates))}


class SingleBlock(nn.Module):
    """Text and image as one stream, modulated and gated by c, attention beside the MLP: h, text -> h, text."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.positions = Positions(config)
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.body = AttentionBesideMlp(config.width, config.num_heads, config.mlp_ratio, eps=config.eps)
        xavier(self.body)
        self.modulation = nn.Linear(config.width, 3 * config.width)
        zero(self.modulation)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        h, c, text = need(state, "h", READER), need(state, "c", READER), state.get("text")
        tokens, num_text = h if text is None else torch.cat([text, h], dim=1), count(text)
        shift, scale, gate = self.modulation(c).chunk(3, dim=1)
        waves = self.positions(need(state, "x", READER), text)
        added = self.body(modulate(self.norm(tokens), shift, scale), num_text, waves)
        tokens = in_range(add_gated(tokens, gate, added))
        return {"h": tokens[:, num_text:], "text": None if text is None else tokens[:, :num_text]}


class Head(nn.Module):
    """h, c -> pred; x is read for the shape of the grid. Zero at initialisation."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.modulation = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.patch_size**2 * config.out_channels)
        zero(self.modulation)
        zero(self.out)

    def forward(self, state: State) -> dict[str, Tensor]:
        scale, shift = self.modulation(need(state, "c", READER)).chunk(
            2, dim=1
        )  # as the published weights have it
        tokens = self.out(modulate(self.norm(need(state, "h", READER)), shift, scale))
        rows, _ = patch_grid(need(state, "x", READER), self.patch_size)
        return {"pred": unpack(tokens, rows, self.patch_size)}


def unpack(tokens: Tensor, rows: int, patch: int) -> Tensor:
    """b l (c patch patch) -> b c h w: channels outermost, other than in nn.patch.from_patches."""
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, p=patch, q=patch)


def count(text: Tensor | None) -> int:
    """How many tokens of text are here."""
    return 0 if text is None else text.shape[1]


def in_range(x: Tensor) -> Tensor:
    """float16 kept from becoming infinite: trained models have tokens as large as that."""
    limit = torch.finfo(torch.float16).max
    return x.clamp(-limit, limit) if x.dtype is torch.float16 else x
