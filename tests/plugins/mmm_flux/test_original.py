"""The names of Black Forest Labs' files, against diffusers' converter."""

from __future__ import annotations

import pytest
import torch

from mmm_flux.config import FluxConfig
from mmm_flux.foreign import LAYOUTS
from mmm_flux.model import Flux
from mmm_graph.checkpoint.load import saved_names
from mmm_graph.checkpoint.save import as_foreign

DIFFUSERS, ORIGINAL = LAYOUTS
COLUMNS = 3


def weights(config):
    """Random, with all rows of the full width, which the converter takes for granted, and few columns."""
    with torch.device("meta"):
        module = Flux(config)
    state = module.state_dict()
    rows = {name: state[own].shape[:1] for name, own in saved_names(module).items()}
    ends = {name: (COLUMNS,) if state[own].ndim > 1 else () for name, own in saved_names(module).items()}
    return {name: torch.randn(*rows[name], *ends[name]) for name in rows}


@pytest.mark.parity
@pytest.mark.parametrize("guidance", [True, False])
def test_diffusers_converts_what_we_write(guidance):
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    config = FluxConfig(double_depth=2, single_depth=3, guidance=guidance)
    ours = weights(config)
    there = as_foreign(ours, ORIGINAL, config)
    found = convert_flux_transformer_checkpoint_to_diffusers(dict(there))
    wanted = as_foreign(ours, DIFFUSERS, config)
    assert found.keys() == wanted.keys() and len(found) > 60
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    again = {name: place.of(there[place.names[0]]) for name, place in ORIGINAL.theirs(ours, config).items()}
    assert again.keys() == ours.keys() and all(torch.equal(again[n], v) for n, v in ours.items())


@pytest.mark.parametrize("ratio", [2, 4])
def test_shapes_of_fused_tensors(ratio):
    config = FluxConfig(
        double_depth=1, single_depth=1, num_heads=2, head_dim=16, rope_dims=(4, 4, 8), mlp_ratio=ratio
    )
    there = as_foreign(dict(named(Flux(config))), ORIGINAL, config)
    assert there["single_blocks.0.linear1.weight"].shape == ((3 + ratio) * 32, 32)
    assert there["single_blocks.0.linear1.bias"].shape == ((3 + ratio) * 32,)
    assert there["double_blocks.0.txt_attn.qkv.weight"].shape == (96, 32)


def named(module):
    state = module.state_dict()
    return ((name, state[own]) for name, own in saved_names(module).items())
