"""The diffusion transformer against diffusers', from the files that it saves."""

import pytest
import torch
from einops import rearrange

from mmm_dit.config import DiTConfig
from mmm_dit.foreign import LAYOUTS, read_diffusers
from mmm_dit.model import DiT
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint

pytestmark = pytest.mark.parity

TINY = {"num_attention_heads": 2, "attention_head_dim": 16, "num_embeds_ada_norm": 10}
CONFIGS = {
    "learned sigma": {**TINY, "out_channels": 8, "num_layers": 3, "sample_size": 8},
    "one prediction": {**TINY, "num_layers": 2, "sample_size": 16, "patch_size": 4, "norm_eps": 1e-6},
    "pixels": {
        **TINY,
        "in_channels": 3,
        "out_channels": 6,
        "num_attention_heads": 3,
        "attention_head_dim": 4,
        "num_layers": 1,
        "sample_size": 4,
        "patch_size": 1,
    },
}


def same_embedders(reference):
    """Every block has a copy of the embedders of time and class, as in the published files."""
    first = reference.transformer_blocks[0].norm1.emb.state_dict()
    for block in reference.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)
    return reference


def rows_of(image, grid, patch):
    """diffusers puts the tokens of any picture together as a square; the same tokens in rows and columns of `grid`."""
    tokens = rearrange(image, "b c (h p) (w q) -> b (h w) c p q", p=patch, q=patch)
    return rearrange(tokens, "b (h w) c p q -> b c (h p) (w q)", h=grid[0])


@pytest.mark.parametrize("stretch", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_forward(scramble, tmp_path, name, batch, stretch):
    from diffusers import DiTTransformer2DModel

    reference = same_embedders(scramble(DiTTransformer2DModel(**CONFIGS[name])))
    reference.save_pretrained(tmp_path)
    config = DiTConfig(**read_diffusers(reference.config))
    ours = DiT(config).double()
    load_module(ours, open_checkpoint(tmp_path), layouts=LAYOUTS, config=config)

    height, width = config.sample_size * stretch, config.sample_size // stretch
    x = torch.randn(batch, config.in_channels, height, width, dtype=torch.float64)
    t, label = torch.linspace(1, 900, batch), torch.arange(batch) * 5
    with torch.no_grad():
        want = reference(x, t, class_labels=label).sample
        got = ours({"x": x, "t": t, "cond.label": label})
    assert got.keys() == ({"pred", "variance"} if config.learned_sigma else {"pred"})
    grid = height // config.patch_size, width // config.patch_size
    want = rows_of(want, grid, config.patch_size)
    assert (torch.cat(list(got.values()), dim=1) - want).abs().max() <= 1e-10 * want.abs().max()


def test_full_size_is_xl_2():
    from diffusers import DiTTransformer2DModel

    with torch.device("meta"):
        reference = DiTTransformer2DModel(out_channels=8)
        ours = DiT(DiTConfig(**read_diffusers(reference.config)))
    copies = sum(p.numel() for b in reference.transformer_blocks[1:] for p in b.norm1.emb.parameters())
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in reference.parameters()) - copies
    # The published 675,129,632 include the fixed positions, 256 x 1152.
    assert count == 675_129_632 - 256 * 1152
