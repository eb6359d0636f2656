"""Weights and work of the shared layers, torch-free: what the parts tables are added up from."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cost:
    """What layers, one after the other, weigh and need for one batch element.

    Attributes:
        params: number of weights.
        flops: multiply-adds x 2.
        work: numbers that they have at once beside their input: what the neediest of them makes and has not given up.
            Attention is counted as a kernel that does not write its scores.
        linear: how many of `params` are matrices of linear layers.
        pairs: how many of `flops` are of pairs of tokens.
    """

    params: int = 0
    flops: float = 0.0
    work: int = 0
    linear: int = 0
    pairs: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        work, linear = max(self.work, other.work), self.linear + other.linear
        pairs = self.pairs + other.pairs
        return Cost(self.params + other.params, self.flops + other.flops, work, linear, pairs)

    @property
    def fields(self) -> tuple[int, float, int]:
        """Of a `Part`: params, flops, work."""
        return self.params, self.flops, self.work

    def __mul__(self, times: int) -> Cost:
        """So many layers of this cost, one after the other."""
        return Cost(
            self.params * times, self.flops * times, self.work, self.linear * times, self.pairs * times
        )

    def each(self, count: int) -> Cost:
        """The same layer for so many pieces of an element, such as frames, at once."""
        flops, pairs = self.flops * count, self.pairs * count
        return Cost(self.params, flops, self.work * count, self.linear, pairs)

    def needs(self, work: int) -> Cost:
        """The same with another `work`."""
        return replace(self, work=work)


def linear(in_dim: int, out_dim: int, rows: int = 1, *, bias: bool = True) -> Cost:
    """nn.Linear applied to `rows` vectors."""
    matrix = in_dim * out_dim
    return Cost(matrix + bias * out_dim, 2.0 * rows * matrix, rows * out_dim, matrix)


def conv(in_channels: int, out_channels: int, pixels: int, kernel: int = 3) -> Cost:
    """nn.conv.Conv2d that makes `pixels` output pixels."""
    weights = in_channels * out_channels * kernel * kernel
    return Cost(weights + out_channels, 2.0 * pixels * weights, pixels * out_channels)


def norm(dim: int) -> Cost:
    """A norm with scale and shift; its work is not counted."""
    return Cost(2 * dim)


def table(rows: int, dim: int) -> Cost:
    """nn.Embedding."""
    return Cost(rows * dim)


def attention(dim: int, tokens: int, *, bias: bool = True) -> Cost:
    """nn.attention.Attention."""
    total = linear(dim, dim, tokens, bias=bias) * 3 + linear(dim, dim, tokens) + pairs(dim, tokens, tokens)
    return total.needs(5 * tokens * dim)  # normed input, queries, keys, values, what they give


def cross_attention(dim: int, tokens: int, cond_dim: int, cond_tokens: int, *, bias: bool = True) -> Cost:
    """nn.attention.CrossAttention."""
    keys = linear(cond_dim, dim, cond_tokens, bias=bias) * 2
    total = linear(dim, dim, tokens, bias=bias) + keys + linear(dim, dim, tokens)
    total += pairs(dim, tokens, cond_tokens)
    return total.needs(3 * tokens * dim + 2 * cond_tokens * dim)


def joint_attention(
    dim: int, tokens: int, text_tokens: int, *, norm_dim: int = 0, last: bool = False
) -> Cost:
    """nn.joint.JointAttention with text as wide as the image tokens.

    Args:
        norm_dim: width of a head when queries and keys are normed, else 0.
        last: the result for the text is dropped.
    """
    both = tokens + text_tokens
    total = linear(dim, dim, tokens) * 4 + linear(dim, dim, text_tokens) * (3 if last else 4)
    total += pairs(dim, both, both) + Cost(4 * norm_dim)
    return total.needs(7 * both * dim)  # as attention; queries, keys and values of both are put together


def pixel_attention(channels: int, pixels: int) -> Cost:
    """nn.attention.PixelAttention."""
    return norm(channels) + attention(channels, pixels)  # the norm is that of the attention's input


def pixel_transformer(
    width: int, pixels: int, cond_dim: int | None, cond_tokens: int, *, layers: int = 1, frames: int = 1
) -> Cost:
    """nn.pixel_transformer.PixelTransformer; each of the frames attends for itself, twice where cond_dim is None."""
    tokens = pixels * frames
    seen = attention(width, pixels, bias=False).each(frames)
    layer = norm(width) * 3 + seen + gated_mlp(width, 4 * width, tokens)
    layer += seen if cond_dim is None else cross_attention(width, tokens, cond_dim, cond_tokens, bias=False)
    return norm(width) + linear(width, width, tokens) * 2 + layer * layers


def temporal_transformer(channels: int, pixels: int, frames: int, width: int, *, layers: int = 1) -> Cost:
    """nn.temporal.TemporalTransformer, whose heads together are `width` wide."""
    tokens = pixels * frames
    layer = norm(width) * 3 + attention(width, frames, bias=False).each(pixels) * 2
    layer += gated_mlp(width, 4 * width, tokens)
    return norm(channels) + linear(channels, width, tokens) + layer * layers + linear(width, channels, tokens)


def temporal_conv(channels: int, pixels: int) -> Cost:
    """nn.temporal.TemporalConv over `pixels` of all frames."""
    weights = 3 * channels * channels
    total = (norm(channels) + Cost(weights + channels, 2.0 * pixels * weights)) * 4
    return total.needs(3 * pixels * channels)  # normed, activated, what comes of it


def pairs(dim: int, queries: int, keys: int) -> Cost:
    """Scores and weighted values of all heads."""
    flops = 4.0 * dim * queries * keys
    return Cost(0, flops, pairs=flops)


def mlp(dim: int, hidden: int, tokens: int, *, bias: bool = True) -> Cost:
    """nn.mlp.Mlp."""
    total = linear(dim, hidden, tokens, bias=bias) + linear(hidden, dim, tokens, bias=bias)
    return total.needs(tokens * (dim + 2 * hidden))  # normed input, before and after the activation


def encoder_block(dim: int, hidden: int, tokens: int, *, qkv_bias: bool = True) -> Cost:
    """nn.encoder.EncoderBlock."""
    return norm(dim) * 2 + attention(dim, tokens, bias=qkv_bias) + mlp(dim, hidden, tokens)


def gated_mlp(dim: int, hidden: int, tokens: int) -> Cost:
    """nn.mlp.GatedMlp."""
    total = linear(dim, 2 * hidden, tokens) + linear(hidden, dim, tokens)
    return total.needs(tokens * (dim + 4 * hidden))  # normed input, both halves, the gate, their product


def time_embedding(freq_dim: int, dim: int) -> Cost:
    """nn.embed.TimeEmbedding."""
    return linear(freq_dim, dim) + linear(dim, dim)


def resnet(in_channels: int, out_channels: int, pixels: int, time_dim: int | None = None) -> Cost:
    """nn.resnet.Resnet."""
    total = norm(in_channels) + conv(in_channels, out_channels, pixels)
    total += norm(out_channels) + conv(out_channels, out_channels, pixels)
    if time_dim is not None:
        total += linear(time_dim, out_channels)
    if in_channels != out_channels:
        total += conv(in_channels, out_channels, pixels, kernel=1)
    work = max(
        2 * in_channels, 3 * out_channels
    )  # normed and activated; or h, what is carried, and their sum
    return total.needs(pixels * work)
