"""The parts table of the autoencoder against the module."""

import pytest
import torch

from mmm_vae.config import VaeConfig
from mmm_vae.model import AutoencoderKL
from mmm_vae.parts import decoder_path, encoder_path, vae_parts, vae_sharding

CONFIGS = {
    "full": VaeConfig(channels=(8, 16, 16), groups=4, sample_size=32),
    "bare": VaeConfig(
        image_channels=1, channels=(8, 16), groups=4, sample_size=16, layers_per_block=1, mid_attention=False,
        quant_conv=False, post_quant_conv=False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_table_is_true_of_the_module(check_parts, name):
    config = CONFIGS[name]
    size, small = config.sample_size, config.sample_size // config.factor
    with torch.device("meta"):
        given = {
            "image": torch.zeros(1, config.image_channels, size, size),
            "latents": torch.zeros(1, 4, small, small),
        }
        state = check_parts(vae_parts(config), AutoencoderKL(config), given)
    assert state["mean"].shape == state["logvar"].shape == given["latents"].shape


@pytest.mark.parametrize("name", CONFIGS)
def test_the_two_paths_divide_the_table(name):
    config = CONFIGS[name]
    assert encoder_path(config) + decoder_path(config) == tuple(part.name for part in vae_parts(config))


def test_full_size_is_stable_diffusion():
    table = vae_parts(VaeConfig())
    assert sum(part.params for part in table) == 83_653_863


@pytest.mark.parametrize(("name", "heads", "ring"), [("full", 1, False), ("bare", 0, True)])
def test_rows_are_shared_and_one_head_cannot_be(name, heads, ring):
    config = CONFIGS[name]
    found = vae_sharding(config)
    assert found.units == {"encode": config.factor, "posterior": config.factor, "decode": 1}
    assert found.heads == heads and "ulysses" in found.refused and ("ring" in found.refused) == ring
