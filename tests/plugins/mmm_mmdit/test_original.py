"""The names of Stability AI's files, against diffusers' converter."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.load import load_module, saved_names
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import as_foreign, save_foreign
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.foreign import LAYOUTS
from mmm_mmdit.model import MMDiT

DIFFUSERS, ORIGINAL = LAYOUTS
CASES = {
    "sd3": {"depth": 2},
    "sd3.5 large": {"depth": 3, "qk_norm": "rms_norm"},
    "sd3.5 medium": {"depth": 3, "qk_norm": "rms_norm", "dual_blocks": (0, 1)},
}


def tiny(case):
    config = MMDiTConfig(
        in_channels=4, out_channels=4, sample_size=8, num_heads=2, head_dim=8, cond_dim=12, pooled_dim=10,
        pos_embed_max_size=6, **CASES[case],
    )  # fmt: skip
    torch.manual_seed(0)
    module = MMDiT(config)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_()
    return config, module


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_diffusers_converts_what_we_write(case):
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    config, module = tiny(case)
    state = module.state_dict()
    ours = {name: state[own] for name, own in saved_names(module).items()}
    there = as_foreign(ours, ORIGINAL, config) | {"pos_embed": torch.zeros(1, 36, 16)}
    found = convert_sd3_transformer_checkpoint_to_diffusers(dict(there))
    del found["pos_embed.pos_embed"]
    wanted = as_foreign(ours, DIFFUSERS, config)
    assert found.keys() == wanted.keys() and len(found) > 50
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_again(case, tmp_path):
    config, module = tiny(case)
    save_foreign(module, tmp_path / "a.safetensors", ORIGINAL, config)
    again = MMDiT(config)
    load_module(again, open_checkpoint(tmp_path / "a.safetensors"), layouts=LAYOUTS, config=config)
    wanted = module.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in again.state_dict().items())
