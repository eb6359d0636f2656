"""OpenCLIP's text model, built of torch's own layers as OpenCLIP does, against ours that reads its weights."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.load import load_module, saved_names
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.foreign import LAYOUTS
from mmm_text.model import TextEncoder

OPEN_CLIP = next(layout for layout in LAYOUTS if layout.name == "OpenCLIP")


class Resblock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        layers = {
            "c_fc": nn.Linear(width, 4 * width),
            "gelu": nn.GELU(),
            "c_proj": nn.Linear(4 * width, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class OpenClip(nn.Module):
    """Source: mlfoundations/open_clip, src/open_clip/transformer.py (TextTransformer)."""

    def __init__(self, words, length, width, depth, heads, projected):
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.randn(length, width) * 0.1)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Resblock(width, heads) for _ in range(depth))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, projected) * width**-0.5)
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, ids):
        """The state before the last block, and the projected text."""
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        mask = torch.full((ids.shape[1],) * 2, float("-inf")).triu(1)
        for block in self.transformer.resblocks:
            before, x = x, block(x, mask)
        pooled = self.ln_final(x)[torch.arange(len(ids)), ids.argmax(-1)] @ self.text_projection
        return before, pooled


def config(words, length, width, depth, heads, projected):
    return TextEncoderConfig(
        vocab_size=words, max_length=length, width=width, depth=depth, num_heads=heads, hidden=4 * width,
        activation="gelu", pool="argmax", projection=True, pooled_dim=projected,
    )  # fmt: skip


SIZES = (60, 12, 24, 3, 4, 10)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    net = OpenClip(*SIZES)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)
    return net.double().eval()


def read(path, **more):
    ours = TextEncoder(config(*SIZES))
    load_module(ours, open_checkpoint(path), layouts=LAYOUTS, config=ours.config, dtype=torch.float64, **more)
    return ours


def test_both_states_and_the_projection(theirs, tmp_path):
    mask = {"model.attn_mask": torch.zeros(12, 12)}  # as old versions saved it
    save_file({f"model.{n}": v for n, v in theirs.state_dict().items()} | mask, tmp_path / "a.safetensors")
    ours = read(tmp_path / "a.safetensors", prefix="model")
    ids = torch.tensor([[58, 3, 4, 59, 0, 0], [58, 7, 8, 9, 10, 59]])
    with torch.no_grad():
        before, pooled = theirs(ids)
        raw = ours({"ids": ids}, EncodeConfig(layer=-2, norm=False))
        normed = ours({"ids": ids}, EncodeConfig(layer=-2))
        assert (raw["embeds"] - before).abs().max() < 1e-10 and (raw["pooled"] - pooled).abs().max() < 1e-10
        assert (normed["embeds"] - theirs.ln_final(before)).abs().max() < 1e-10


def test_what_is_read_is_written_again(theirs, tmp_path):
    save_file(theirs.state_dict(), tmp_path / "a.safetensors")
    ours = read(tmp_path / "a.safetensors")
    save_foreign(ours, tmp_path / "b.safetensors", OPEN_CLIP, ours.config)
    there = theirs.state_dict()
    del there["logit_scale"]
    again = dict(open_checkpoint(tmp_path / "b.safetensors").read(list(there)))
    assert open_checkpoint(tmp_path / "b.safetensors").shapes.keys() == there.keys()
    assert all(torch.equal(again[name], value) for name, value in there.items())


@pytest.mark.parametrize(
    ("sizes", "millions"),
    [((49408, 77, 1024, 24, 16, 1024), 354.0), ((49408, 77, 1280, 32, 20, 1280), 694.7)],
    ids=["ViT-H of SD 2", "bigG of SDXL"],
)
def test_full_size(sizes, millions):
    with torch.device("meta"):
        theirs, ours = OpenClip(*sizes), TextEncoder(config(*sizes))
    state, names = ours.state_dict(), saved_names(ours)
    shapes = {n: tuple(state[own].shape) for n, own in names.items()}
    there = {n: tuple(v.shape) for n, v in theirs.state_dict().items()}
    alike = {n: [n] for n in shapes}
    fit = find_fit(shapes, there, alike=alike, layouts=LAYOUTS, config=ours.config)
    assert fit.layout == "OpenCLIP" and fit.problems == 0 and fit.where.keys() == shapes.keys()
    assert round(sum(v.numel() for v in state.values()) / 1e6, 1) == millions
