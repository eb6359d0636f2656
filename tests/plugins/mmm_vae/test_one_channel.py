"""AudioLDM's autoencoder, of spectrograms: one channel, three levels. Against diffusers."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_vae.config import VaeConfig
from mmm_vae.foreign import LAYOUTS, read_diffusers
from mmm_vae.model import AutoencoderKL
from mmm_vae.parts import vae_parts

pytestmark = pytest.mark.parity

THREE = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
ONE = {**THREE, "in_channels": 1, "out_channels": 1, "latent_channels": 8, "layers_per_block": 2}
FULL = {**ONE, "block_out_channels": (128, 256, 512), "sample_size": 512}
"""By diffusers' conversion of the published checkpoints."""


def test_a_saved_model_is_the_same(scramble, tmp_path):
    import diffusers

    tiny = {"block_out_channels": (8, 16, 16), "norm_num_groups": 4, "scaling_factor": 0.9}
    theirs = scramble(diffusers.AutoencoderKL(**ONE, **tiny))
    theirs.save_pretrained(tmp_path)
    config = VaeConfig(**read_diffusers(dict(theirs.config)))
    ours = AutoencoderKL(config)
    load_module(ours, open_checkpoint(tmp_path), layouts=LAYOUTS, config=config, dtype=torch.float64)
    mel = torch.randn(2, 1, 16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        want = theirs.encode(mel).latent_dist
        got = ours.posterior(mel / 2 + 0.5)
        sound, found = theirs.decode(want.mean).sample, ours.decode(want.mean * 0.9)
    assert (got["mean"] - want.mean).abs().max() <= 1e-10 * want.mean.abs().max()
    assert (got["logvar"] - want.logvar).abs().max() <= 1e-10 * want.logvar.abs().max()
    assert (found * 2 - 1 - sound).abs().max() <= 1e-10 * sound.abs().max()


def test_full_size():
    import diffusers

    with torch.device("meta"):
        theirs = diffusers.AutoencoderKL(**FULL)
        config = VaeConfig(**read_diffusers(dict(theirs.config)))
        ours = AutoencoderKL(config)
    weights = sum(p.numel() for p in theirs.parameters())
    assert sum(p.params for p in vae_parts(config)) == sum(p.numel() for p in ours.parameters()) == weights
