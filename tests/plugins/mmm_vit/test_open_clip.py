"""OpenCLIP's vision towers, built of torch's own layers as OpenCLIP and timm do, against ours of the same weights."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_vit.config import ViTConfig
from mmm_vit.foreign import LAYOUTS

WIDTH, DEPTH, HEADS, PATCH, SIZE, OUT = 24, 3, 4, 5, 20, 10
COUNT = (SIZE // PATCH) ** 2
CONFIG = {
    "width": WIDTH,
    "depth": DEPTH,
    "num_heads": HEADS,
    "hidden": 4 * WIDTH,
    "size": SIZE,
    "patch": PATCH,
}
BY_NAME = {layout.name: layout for layout in LAYOUTS}


class Resblock(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        up, down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.mlp = nn.Sequential(OrderedDict(c_fc=up, gelu=nn.GELU(), c_proj=down))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class OpenClip(nn.Module):
    """Source: mlfoundations/open_clip, src/open_clip/transformer.py (VisionTransformer)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros(COUNT + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Resblock() for _ in range(DEPTH))
        self.proj = nn.Parameter(torch.zeros(WIDTH, OUT))

    def forward(self, image):
        x = self.conv1(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        x = self.ln_post(x)
        return x, x[:, 0] @ self.proj


def mlp():
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(WIDTH, 4 * WIDTH), act=nn.GELU("tanh"), fc2=nn.Linear(4 * WIDTH, WIDTH))
    )


def heads(x):
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class TimmBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, 1e-6), nn.LayerNorm(WIDTH, 1e-6)
        self.attn = nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = mlp()

    def forward(self, x):
        q, k, v = (heads(y) for y in self.attn.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.attn.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class AttnPool(nn.Module):
    """Source: huggingface/pytorch-image-models, timm/layers/attention_pool.py (AttentionPoolLatent)."""

    def __init__(self):
        super().__init__()
        self.latent = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.q, self.kv, self.proj = (
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, 2 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
        )
        self.norm, self.mlp = nn.LayerNorm(WIDTH, 1e-6), mlp()

    def forward(self, x):
        q = heads(self.q(self.latent.expand(len(x), -1, -1)))
        k, v = (heads(y) for y in self.kv(x).chunk(2, -1))
        x = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return (x + self.mlp(self.norm(x)))[:, 0]


class Timm(nn.Module):
    """Source: the same, timm/models/vision_transformer.py (vit_*_siglip_*)."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.pos_embed = nn.Parameter(torch.zeros(1, COUNT, WIDTH))
        self.blocks = nn.ModuleList(TimmBlock() for _ in range(DEPTH))
        self.norm, self.attn_pool = nn.LayerNorm(WIDTH, 1e-6), AttnPool()

    def forward(self, image):
        x = self.patch_embed.proj(image).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x, self.attn_pool(x)


SIGLIP = {"class_token": False, "patch_bias": True, "pre_norm": False, "pool": "probe", "eps": 1e-6}
CASES = {
    "OpenCLIP": (OpenClip, "visual", {"activation": "gelu", "out_dim": OUT}),
    "OpenCLIP, of timm": (Timm, "visual.trunk", {"activation": "gelu_tanh", **SIGLIP}),
}


@pytest.mark.parametrize("name", list(CASES))
def test_tokens_and_vector_and_the_way_back(tmp_path, scramble, load_vit, name):
    build, prefix, more = CASES[name]
    theirs, config = scramble(build()), ViTConfig(**CONFIG, **more)
    state = theirs.state_dict()
    text = {"token_embedding.weight": torch.ones(2, 3)}  # the other tower of the file
    save_file({f"{prefix}.{k}": v for k, v in state.items()} | text, tmp_path / "a.safetensors")
    ours = load_vit(tmp_path / "a.safetensors", config, prefix)
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        tokens, pooled = theirs(image)
        assert (ours.hidden(image, HiddenConfig()) - tokens).abs().max() < 1e-10
        assert (ours(image)["pooled"] - pooled).abs().max() < 1e-10
    save_foreign(ours, tmp_path / "b.safetensors", BY_NAME[name], config)
    again = load_file(tmp_path / "b.safetensors")
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], value) for key, value in state.items())
