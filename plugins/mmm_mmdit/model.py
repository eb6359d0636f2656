"""The joint-attention transformer as a list of parts. Axes: b batch, c h w, l image tokens, t text tokens, d width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import Attention
from mmm_graph.nn.embed import CentredGridEmbedding, TimeEmbedding
from mmm_graph.nn.init import xavier, zero
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.kept import Kept
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.norm import add_gated, modulate
from mmm_graph.nn.parts import State, known, need, run_parts
from mmm_graph.nn.patch import from_patches, patch_grid, to_patches
from mmm_graph.nn.stream import PooledEmbedding, Stream
from mmm_mmdit.config import MMDiTConfig


class MMDiT(nn.Module):
    """Predicts velocity, noise or the clean sample from x [b,c,h,w] at times t [b] under a text.

    A piece of an image that does not carry the text is run without cond.embeds: its blocks see image tokens only, and
    the exchange brings them the keys and values of the text. Blocks are the identity and the prediction is zero at
    initialisation (adaLN-Zero).

    Source: Esser et al. 2024 (arXiv:2403.03206), section 4.
    """

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": Block(config, i) for i in range(config.depth)})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds, cond.pooled} -> {pred}."""
        need(state, "cond.embeds", "the MMDiT")
        return {"pred": need(run_parts(self.parts, self.parts, state), "pred", "the MMDiT")}


class Embed(nn.Module):
    """x, t, cond.embeds, cond.pooled -> h [b,l,d], c [b,d] (condition after its activation), text [b,t,d] if any."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        width = config.width
        self.patch = nn.Linear(config.in_channels * config.patch_size**2, width)
        self.positions = CentredGridEmbedding(width, config.grid, config.pos_embed_max_size)
        self.time = TimeEmbedding(config.freq_dim, width, scale=config.times)
        self.pooled = PooledEmbedding(known(config.pooled_dim, "pooled_dim"), width)
        self.text = nn.Linear(known(config.cond_dim, "cond_dim"), width)
        self.kept = Kept()
        xavier(self.patch)
        xavier(self.text)
        for pair in (self.time, self.pooled):
            nn.init.normal_(pair.up.weight, std=0.02)
            nn.init.normal_(pair.down.weight, std=0.02)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        x = need(state, "x", "the MMDiT")
        grid = patch_grid(x, self.patch_size)
        h = self.patch(to_patches(x, self.patch_size))
        c = self.time(need(state, "t", "the MMDiT")) + self.pooled(need(state, "cond.pooled", "the MMDiT"))
        words = state.get("cond.embeds")
        text = None if words is None else self.kept.of(words, self.text)
        return {"h": h + self.positions(grid, h), "c": F.silu(c), "text": text}


class Block(nn.Module):
    """Joint attention between two streams, each modulated and gated by c: h, text -> h, text; the last one -> h."""

    def __init__(self, config: MMDiTConfig, index: int) -> None:
        super().__init__()
        self.last = last = index == config.depth - 1
        self.image = (
            DualStream(config)
            if index in config.dual_blocks
            else Stream(config.width, config.hidden, config.eps)
        )
        self.text: Stream | LastStream = (
            LastStream(config) if last else Stream(config.width, config.hidden, config.eps)
        )
        self.attn = JointAttention(
            config.width,
            config.num_heads,
            qk_norm=config.qk_norm is not None,
            eps=config.eps,
            context_only_kv=last,
        )
        xavier(self.attn)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        h, c, text = need(state, "h", "the MMDiT"), need(state, "c", "the MMDiT"), state.get("text")
        image, gates = self.image.enter(h, c)
        words, text_gates = (None, ()) if text is None else self.text.enter(text, c)
        image, words = self.attn(image, words)
        h = self.image.leave(h, image, gates)
        if self.last:
            return {"h": h}
        return {"h": h, "text": None if text is None else self.text.leave(text, words, text_gates)}


class DualStream(nn.Module):
    """A Stream whose tokens also attend to each other alone, beside the attention of the block.

    Source: Stable Diffusion 3.5 medium, as published (MMDiT-X).
    """

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.attn2 = Attention(
            config.width, config.num_heads, qk_norm=config.qk_norm is not None, eps=config.eps
        )
        self.mlp = Mlp(config.width, config.hidden, "gelu_tanh")
        xavier(self.attn2)
        xavier(self.mlp)
        self.modulation = nn.Linear(config.width, 9 * config.width)
        zero(self.modulation)

    def enter(self, h: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the attention of the block sees of h, and what `leave` needs."""
        shift, scale, gate1, shift_mlp, scale_mlp, gate_mlp, shift2, scale2, gate2 = self.modulation(c).chunk(
            9, dim=1
        )
        normed = self.norm1(h)
        alone = gate2.unsqueeze(1) * self.attn2(modulate(normed, shift2, scale2))
        return modulate(normed, shift, scale), (gate1, shift_mlp, scale_mlp, gate_mlp, alone)

    def leave(self, h: Tensor, attended: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        """h with the results of both attentions and the MLP added."""
        gate1, shift, scale, gate_mlp, alone = rest
        h = add_gated(h, gate1, attended) + alone
        return add_gated(h, gate_mlp, self.mlp(modulate(self.norm2(h), shift, scale)))


class LastStream(nn.Module):
    """What the text goes through before the last attention; after it nobody reads the text."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.modulation = nn.Linear(config.width, 2 * config.width)
        zero(self.modulation)

    def enter(self, h: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What attention sees of the text."""
        scale, shift = self.modulation(c).chunk(2, dim=1)  # in the order of the published weights
        return modulate(self.norm(h), shift, scale), ()


class Head(nn.Module):
    """h, c -> pred; x is read for the shape of the grid. Zero at initialisation."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.modulation = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.patch_size**2 * config.out_channels)
        zero(self.modulation)
        zero(self.out)

    def forward(self, state: State) -> dict[str, Tensor]:
        scale, shift = self.modulation(need(state, "c", "the MMDiT")).chunk(2, dim=1)
        tokens = self.out(modulate(self.norm(need(state, "h", "the MMDiT")), shift, scale))
        return {"pred": from_patches(tokens, need(state, "x", "the MMDiT"), self.patch_size)}
