"""The diffusion transformer of the paper under the names of facebookresearch/DiT, written for these tests.

Fixed positions are a saved tensor, q, k and v are one layer, and tokens are put together pixel by pixel.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Original(nn.Module):
    """x [b,c,s,s], t [b], y [b] -> noise and variance [b,2c,s,s]."""

    def __init__(self, size, patch, channels, width, depth, heads, classes):
        super().__init__()
        self.patch, self.channels, self.side = patch, channels, size // patch
        self.x_embedder, self.t_embedder, self.y_embedder = nn.Module(), nn.Module(), nn.Module()
        self.x_embedder.proj = nn.Conv2d(channels, width, patch, stride=patch)
        self.t_embedder.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.y_embedder.embedding_table = nn.Embedding(classes + 1, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.side**2, width), requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final_layer = nn.Module()
        self.final_layer.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.final_layer.linear = nn.Linear(width, patch * patch * 2 * channels)

    def place(self):
        """Fill in the fixed positions: the column in the first half of the channels, the row in the second."""
        width, rows = self.pos_embed.shape[2], []
        for i in range(self.side):
            for j in range(self.side):
                rows.append([wave for at in (j, i) for wave in waves(at, width // 2)])
        self.pos_embed.data = torch.tensor([rows], dtype=torch.float32).to(self.pos_embed.dtype)
        return self

    def forward(self, x, t, y):
        h = self.x_embedder.proj(x).flatten(2).transpose(1, 2) + self.pos_embed
        angles = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(128).float() / 128)
        time = torch.cat([angles.cos(), angles.sin()], dim=1).to(h.dtype)
        c = self.t_embedder.mlp(time) + self.y_embedder.embedding_table(y)
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.final_layer.adaLN_modulation(c)[:, None].chunk(2, dim=2)
        h = self.final_layer.linear(norm(h) * (1 + scale) + shift)
        return self.unpatchify(h)

    def unpatchify(self, tokens):
        p, c = self.patch, 2 * self.channels
        image = tokens.new_empty(len(tokens), c, self.side * p, self.side * p)
        for n in range(tokens.shape[1]):
            top, left = n // self.side * p, n % self.side * p
            square = tokens[:, n].view(-1, p, p, c)
            image[:, :, top : top + p, left : left + p] = square.permute(0, 3, 1, 2)
        return image


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, h, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c)[:, None].chunk(6, dim=2)
        h = h + gate1 * self.attend(norm(h) * (1 + scale1) + shift1)
        hidden = nn.functional.gelu(self.mlp.fc1(norm(h) * (1 + scale2) + shift2), approximate="tanh")
        return h + gate2 * self.mlp.fc2(hidden)

    def attend(self, h):
        b, n, d = h.shape
        q, k, v = self.attn.qkv(h).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        shares = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // self.heads), dim=3)
        return self.attn.proj((shares @ v).transpose(1, 2).reshape(b, n, d))


def norm(h):
    """Layer norm without weights."""
    mean, var = h.mean(2, keepdim=True), h.var(2, keepdim=True, correction=0)
    return (h - mean) / torch.sqrt(var + 1e-6)


def waves(at, dim):
    """Sines and then cosines of one position."""
    rates = [10000 ** (-i / (dim // 2)) for i in range(dim // 2)]
    return [math.sin(at * rate) for rate in rates] + [math.cos(at * rate) for rate in rates]
