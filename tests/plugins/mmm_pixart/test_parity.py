"""The PixArt transformer against diffusers'."""

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_pixart.config import PixArtConfig
from mmm_pixart.foreign import LAYOUTS, read_diffusers
from mmm_pixart.model import PixArt

pytestmark = pytest.mark.parity

TINY = {"num_layers": 2, "caption_channels": 10}
CONFIGS = {
    "sigma": {
        **TINY,
        "sample_size": 16,
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "cross_attention_dim": 24,
        "interpolation_scale": 2,
        "use_additional_conditions": False,
    },
    "alpha at 1024": {  # of its size follows that it reads the size, and the scale of its positions
        **TINY,
        "sample_size": 128,
        "patch_size": 16,
        "num_attention_heads": 3,
        "attention_head_dim": 8,
        "cross_attention_dim": 24,
        "norm_eps": 1e-5,
    },
    "alpha at 512": {
        **TINY,
        "sample_size": 64,
        "patch_size": 8,
        "in_channels": 3,
        "out_channels": 6,
        "num_attention_heads": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": 16,
    },
    "without a variance": {
        **TINY,
        "sample_size": 12,
        "out_channels": None,
        "num_attention_heads": 2,
        "attention_head_dim": 6,
        "cross_attention_dim": 12,
        "interpolation_scale": 1.5,
        "use_additional_conditions": True,
    },
}
SHAPES = {"trained, 2": (2, 1, 1), "wide, 1": (1, 1, 1.5), "tall, 3": (3, 1.75, 0.5)}
"""Batch, and height and width over the trained ones."""


@pytest.fixture(params=CONFIGS)
def pair(request, scramble, tmp_path):
    """The reference, our config by its config, and our model from its file."""
    from diffusers import PixArtTransformer2DModel

    reference = scramble(PixArtTransformer2DModel(**CONFIGS[request.param]))
    reference.save_pretrained(tmp_path)
    config = PixArtConfig(**read_diffusers(reference.config))
    ours = PixArt(config).double()
    load_module(ours, open_checkpoint(tmp_path), layouts=LAYOUTS, config=config)
    return reference, config, ours


def inputs(config, batch, tall, wide):
    """x of so many trained sizes, a text with padding, and sizes."""
    draw, side = torch.Generator().manual_seed(1), config.sample_size
    size = (batch, config.in_channels, _whole(side * tall, config), _whole(side * wide, config))
    mask = torch.ones(batch, 7, dtype=torch.bool)
    mask[-1, 4:] = False
    state = {
        "x": torch.randn(size, generator=draw, dtype=torch.float64),
        "t": torch.linspace(3, 961, batch).long(),
        "cond.embeds": torch.randn(batch, 7, 10, generator=draw, dtype=torch.float64),
        "cond.mask": mask,
    }
    if config.size_condition:
        state["cond.resolution"] = torch.tensor([[512.0, 768.0]]).repeat(batch, 1)
        state["cond.aspect"] = torch.tensor([[512 / 768]]).repeat(batch, 1)
    return state


def _whole(rows, config):
    return int(rows) // config.patch_size * config.patch_size


def both(reference, ours, state):
    sizes = {"resolution": state.get("cond.resolution"), "aspect_ratio": state.get("cond.aspect")}
    with torch.no_grad():
        want = reference(
            state["x"],
            state["cond.embeds"],
            state["t"],
            added_cond_kwargs=sizes,
            encoder_attention_mask=state.get("cond.mask"),
        ).sample
        got = ours(state)
    return want, torch.cat(list(got.values()), dim=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(pair, shape):
    reference, config, ours = pair
    state = inputs(config, *SHAPES[shape])
    want, got = both(reference, ours, state)
    assert want.shape[1] == config.in_channels * (2 if config.learned_sigma else 1)
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()
    want, unmasked = both(reference, ours, state | {"cond.mask": None})
    assert (unmasked - want).abs().max() <= 1e-10 * want.abs().max()
    assert (unmasked[-1] - got[-1]).abs().max() > 1e-4


@pytest.mark.parametrize("size", ["alpha", "sigma"])
def test_full_sizes(size):
    from diffusers import PixArtTransformer2DModel

    with torch.device("meta"):
        reference = PixArtTransformer2DModel(caption_channels=4096, use_additional_conditions=size == "alpha")
        ours = PixArt(PixArtConfig(**read_diffusers(reference.config)))
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in reference.parameters())
    assert count == {"alpha": 611_349_152, "sigma": 610_856_096}[size]
    if size == "sigma":
        assert PixArtConfig() == PixArtConfig(**read_diffusers(reference.config))
