"""Weights and work of the shared layers, torch-free: what the parts tables are added up from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Number of weights, and multiply-adds x 2 for one batch element."""

    params: int = 0
    flops: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.flops + other.flops)

    @property
    def both(self) -> tuple[int, float]:
        """The last two fields of a `Part`."""
        return self.params, self.flops

    def __mul__(self, times: int) -> Cost:
        """So many layers of this cost."""
        return Cost(self.params * times, self.flops * times)


def linear(in_dim: int, out_dim: int, rows: int = 1, *, bias: bool = True) -> Cost:
    """nn.Linear applied to `rows` vectors."""
    return Cost(in_dim * out_dim + bias * out_dim, 2.0 * rows * in_dim * out_dim)


def conv(in_channels: int, out_channels: int, pixels: int, kernel: int = 3) -> Cost:
    """nn.conv.Conv2d that makes `pixels` output pixels."""
    weights = in_channels * out_channels * kernel * kernel
    return Cost(weights + out_channels, 2.0 * pixels * weights)


def norm(dim: int) -> Cost:
    """A norm with scale and shift; its work is not counted."""
    return Cost(2 * dim)


def table(rows: int, dim: int) -> Cost:
    """nn.Embedding."""
    return Cost(rows * dim)


def attention(dim: int, tokens: int, *, bias: bool = True) -> Cost:
    """nn.attention.Attention."""
    return linear(dim, dim, tokens, bias=bias) * 3 + linear(dim, dim, tokens) + pairs(dim, tokens, tokens)


def cross_attention(dim: int, tokens: int, cond_dim: int, cond_tokens: int, *, bias: bool = True) -> Cost:
    """nn.attention.CrossAttention."""
    keys = linear(cond_dim, dim, cond_tokens, bias=bias) * 2
    return (
        linear(dim, dim, tokens, bias=bias)
        + keys
        + linear(dim, dim, tokens)
        + pairs(dim, tokens, cond_tokens)
    )


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
    return total + pairs(dim, both, both) + Cost(4 * norm_dim)


def pixel_attention(channels: int, pixels: int) -> Cost:
    """nn.attention.PixelAttention."""
    return norm(channels) + attention(channels, pixels)


def pairs(dim: int, queries: int, keys: int) -> Cost:
    """Scores and weighted values of all heads."""
    return Cost(0, 4.0 * dim * queries * keys)


def mlp(dim: int, hidden: int, tokens: int) -> Cost:
    """nn.mlp.Mlp."""
    return linear(dim, hidden, tokens) + linear(hidden, dim, tokens)


def gated_mlp(dim: int, hidden: int, tokens: int) -> Cost:
    """nn.mlp.GatedMlp."""
    return linear(dim, 2 * hidden, tokens) + linear(hidden, dim, tokens)


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
    return total
