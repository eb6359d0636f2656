"""The diffusion transformer against diffusers'."""

import pytest
import torch

from mmm_dit.config import DiTConfig
from mmm_dit.keys import DIFFUSERS
from mmm_dit.model import DiT

pytestmark = pytest.mark.parity


def test_forward(copy_weights, scramble):
    from diffusers import DiTTransformer2DModel

    reference = scramble(
        DiTTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=4,
            out_channels=8,
            num_layers=3,
            sample_size=8,
            patch_size=2,
            num_embeds_ada_norm=10,
            norm_eps=1e-6,
        )
    )
    config = DiTConfig(
        sample_size=8, width=32, depth=3, num_heads=2, num_classes=11, learned_sigma=True, freq_shift=1.0
    )
    ours = DiT(config).double()
    first = reference.transformer_blocks[0].norm1.emb.state_dict()
    for block in reference.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)
    unread = copy_weights(ours, reference, DIFFUSERS)
    assert all(".norm1.emb." in name and not name.startswith("transformer_blocks.0.") for name in unread)

    x, t, label = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.tensor([1, 900]), torch.tensor([3, 10])
    with torch.no_grad():
        want = reference(x, t, class_labels=label).sample
        got = ours({"x": x, "t": t, "cond.label": label})
    got = torch.cat([got["pred"], got["variance"]], dim=1)
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()


def test_full_size_is_xl_2():
    from diffusers import DiTTransformer2DModel

    with torch.device("meta"):
        ours = DiT(DiTConfig(num_classes=1001, learned_sigma=True))
        reference = DiTTransformer2DModel(out_channels=8)
    copies = sum(p.numel() for b in reference.transformer_blocks[1:] for p in b.norm1.emb.parameters())
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in reference.parameters()) - copies
    # The published 675,129,632 include the fixed positions, 256 x 1152.
    assert count == 675_129_632 - 256 * 1152
