"""The joint-attention transformer against diffusers'."""

import pytest
import torch

from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.keys import DIFFUSERS
from mmm_mmdit.model import MMDiT

pytestmark = pytest.mark.parity

BUFFER = {"pos_embed.pos_embed"}
"""The positions, which we compute."""


@pytest.mark.parametrize("qk_norm", [None, "rms_norm"])
@pytest.mark.parametrize("height", [8, 12])
def test_forward(copy_weights, scramble, exact_norms, qk_norm, height):
    from diffusers import SD3Transformer2DModel

    reference = exact_norms(
        scramble(
            SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                out_channels=6,
                num_layers=3,
                attention_head_dim=16,
                num_attention_heads=2,
                caption_projection_dim=32,
                joint_attention_dim=10,
                pooled_projection_dim=12,
                pos_embed_max_size=7,
                qk_norm=qk_norm,
            )
        )
    )
    config = MMDiTConfig(
        in_channels=4, out_channels=6, sample_size=8, depth=3, num_heads=2, head_dim=16, cond_dim=10,
        pooled_dim=12, pos_embed_max_size=7, qk_norm=qk_norm,
    )  # fmt: skip
    ours = MMDiT(config).double()
    assert copy_weights(ours, reference, DIFFUSERS) == BUFFER

    x, t = torch.randn(2, 4, height, 8, dtype=torch.float64), torch.tensor([0.25, 0.875])
    embeds, pooled = (
        torch.randn(2, 5, 10, dtype=torch.float64),
        torch.randn(2, 12, dtype=torch.float64),
    )
    with torch.no_grad():
        want = reference(x, embeds, pooled, t * 1000).sample
        got = ours({"x": x, "t": t, "cond.embeds": embeds, "cond.pooled": pooled})["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()


def test_full_size_is_stable_diffusion_3_medium():
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        ours = MMDiT(MMDiTConfig())
        reference = SD3Transformer2DModel(
            num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192
        )
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in reference.parameters()) == 2_028_328_000
