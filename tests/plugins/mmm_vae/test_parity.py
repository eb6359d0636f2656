"""The autoencoder against diffusers'."""

import pytest
import torch

from mmm_graph.nn.noise import Noise
from mmm_vae.config import EncodeConfig, VaeConfig
from mmm_vae.keys import DIFFUSERS
from mmm_vae.model import AutoencoderKL

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(("quant", "attention", "shift"), [(True, True, 0.0), (False, False, 0.06)])
def test_encode_and_decode(copy_weights, scramble, quant, attention, shift):
    import diffusers

    reference = scramble(
        diffusers.AutoencoderKL(
            block_out_channels=(8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=2,
            latent_channels=4,
            norm_num_groups=4,
            use_quant_conv=quant,
            use_post_quant_conv=quant,
            mid_block_add_attention=attention,
        )
    )
    config = VaeConfig(
        channels=(8, 16, 16),
        groups=4,
        quant_conv=quant,
        post_quant_conv=quant,
        mid_attention=attention,
        scaling_factor=0.7,
        shift_factor=shift,
    )
    ours = AutoencoderKL(config).double()
    assert copy_weights(ours, reference, DIFFUSERS) == set()

    image = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    noise = Noise((1,), "z", (0, 1))
    with torch.no_grad():
        want = reference.encode(image * 2 - 1).latent_dist
        got = ours.encode(image, EncodeConfig(), noise)
        sampled = ours.encode(image, EncodeConfig(sample=True), noise)["latents"]
        picture = reference.decode(got["latents"] / 0.7 + shift).sample
        drawn = ours.decode(got["latents"])
    assert got["mean"].shape == (2, 4, 4, 6)
    assert torch.allclose(got["mean"], want.mean, rtol=1e-10, atol=1e-10)
    assert torch.allclose(got["logvar"], want.logvar, rtol=1e-10, atol=1e-10)
    assert torch.allclose(got["latents"], (want.mode() - shift) * 0.7, rtol=1e-10, atol=1e-10)
    eps = noise.normal((4, 4, 6), dtype=torch.float64)
    assert torch.allclose(sampled, (want.mean + want.std * eps - shift) * 0.7, rtol=1e-10, atol=1e-10)
    assert torch.allclose(drawn * 2 - 1, picture, rtol=1e-10, atol=1e-10)


def test_full_size_is_stable_diffusion_1_5():
    import diffusers

    with torch.device("meta"):
        ours = AutoencoderKL(VaeConfig())
        reference = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
    assert sum(p.numel() for p in ours.parameters()) == 83_653_863
    assert sorted(tuple(p.shape) for p in ours.parameters()) == sorted(
        tuple(p.shape) for p in reference.parameters()
    )
