"""The parts table of FLUX against the module."""

import pytest
import torch

from mmm_flux.config import FluxConfig
from mmm_flux.model import Flux
from mmm_flux.parts import COND_TOKENS, flux_parts, flux_path, flux_sharding
from mmm_graph.registry import Sharding

SMALL = {
    "num_heads": 2,
    "head_dim": 16,
    "rope_dims": (4, 6, 6),
    "cond_dim": 10,
    "pooled_dim": 6,
    "in_channels": 4,
}
CONFIGS = {
    "both": FluxConfig(**SMALL, out_channels=4, sample_size=16, double_depth=2, single_depth=2),
    "double": FluxConfig(
        **SMALL, out_channels=8, sample_size=18, patch_size=3, double_depth=1, single_depth=0
    ),
    "single": FluxConfig(
        **SMALL, out_channels=4, sample_size=8, double_depth=0, single_depth=1, mlp_ratio=2, guidance=False
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_table_is_true_of_the_module(check_parts, name):
    config = CONFIGS[name]
    size = config.sample_size
    with torch.device("meta"):
        given = {
            "x": torch.zeros(1, 4, size, size),
            "t": torch.zeros(1),
            "cond.embeds": torch.zeros(1, COND_TOKENS, 10),
            "cond.pooled": torch.zeros(1, 6),
        }
        if config.guidance:
            given["cond.guidance"] = torch.zeros(1)
        state = check_parts(flux_parts(config), Flux(config), given)
    assert state["pred"].shape == (1, config.out_channels, size, size)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_path_is_the_whole_table(name):
    config = CONFIGS[name]
    assert flux_path(config, None) == tuple(part.name for part in flux_parts(config))


def test_full_size_has_the_weights_and_work_of_flux_1():
    table = flux_parts(FluxConfig())
    assert len(table) == 59 and sum(part.params for part in table) == 11_901_408_320
    width, tokens, blocks = 3072, 64 * 64 + 512, 19 + 38
    linear, pairs = 2 * 12 * width**2 * tokens, 4 * width * tokens**2  # of one block, either kind
    assert sum(part.flops for part in table) == pytest.approx(blocks * (linear + pairs), rel=0.001)


def test_text_is_joint_and_stays_in_what_attention_keeps():
    config = CONFIGS["double"]
    assert flux_sharding(config) == Sharding({"predict": 3}, heads=2, joint=("text",))
    keys_and_values = 2 * (36 + COND_TOKENS) * 32
    assert [part.kept for part in flux_parts(config)] == [0, keys_and_values, 0]
