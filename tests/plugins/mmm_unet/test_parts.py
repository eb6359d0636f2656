"""The parts table of the U-Net against the module."""

import pytest
import torch

from mmm_graph.nn.unet_layout import layout
from mmm_unet.config import UNetConfig
from mmm_unet.model import UNet
from mmm_unet.parts import COND_TOKENS, unet_parts, unet_path, unet_sharding

CONFIGS = {
    "conditional": UNetConfig(
        channels=(16, 32, 32), attention=("cross", "none", "cross"), num_heads=4, cond_dim=12, groups=8,
        transformer_layers=(1, 1, 2), sample_size=16, num_classes=7,
    ),
    "linear": UNetConfig(
        channels=(16, 32), attention=("cross", "cross"), num_heads=4, cond_dim=12, groups=8, sample_size=8,
        linear_projection=True, layers_per_block=1,
    ),
    "pixels": UNetConfig(
        in_channels=1, out_channels=1, channels=(8, 16, 16), attention=("none", "self", "none"), mid_attention="none",
        head_dim=8, groups=4, sample_size=28, layers_per_block=1,
    ),
    "added": UNetConfig(
        in_channels=9, channels=(16, 32), attention=("none", "cross"), num_heads=(2, 4), cond_dim=12, groups=8,
        transformer_layers=(1, 3), sample_size=8, layers_per_block=1, size_dim=6, pooled_dim=10, guidance_dim=8,
    ),
}  # fmt: skip


def inputs(config):
    size = config.sample_size
    state = {"x": torch.zeros(1, config.in_channels, size, size), "t": torch.zeros(1, dtype=torch.int64)}
    if config.is_cross:
        state["cond.embeds"] = torch.zeros(1, COND_TOKENS, config.cond_dim)
    if config.num_classes:
        state["cond.label"] = torch.zeros(1, dtype=torch.int64)
    if config.size_dim:
        state |= {"cond.pooled": torch.zeros(1, config.pooled_dim), "cond.sizes": torch.zeros(1, 6)}
    if config.guidance_dim:
        state["cond.guidance"] = torch.zeros(1)
    return state


@pytest.mark.parametrize("name", CONFIGS)
def test_table_is_true_of_the_module(check_parts, name):
    config = CONFIGS[name]
    with torch.device("meta"):
        state = check_parts(unet_parts(config), UNet(config), inputs(config))
    assert state["pred"].shape == (1, config.out_channels, *state["x"].shape[2:])


def test_full_size_has_the_weights_and_work_of_stable_diffusion():
    table = unet_parts(UNetConfig(cond_dim=768))
    assert sum(part.params for part in table) == 859_520_964
    assert sum(part.flops for part in table) == pytest.approx(803e9, rel=0.01)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_skip_has_one_writer_and_one_reader(name):
    table = unet_parts(CONFIGS[name])
    written = [key for part in table for key in part.writes if key.startswith("skip")]
    read = [key for part in table for key in part.reads if key.startswith("skip")]
    assert sorted(written) == sorted(read) == sorted(set(read))
    assert read == written[::-1]


def test_the_path_is_the_whole_table():
    config = CONFIGS["conditional"]
    assert unet_path(config, None) == tuple(part.name for part in unet_parts(config))
    assert [row.name for row in layout(CONFIGS["linear"])] == [
        "down0_0", "down0_half", "down1_0", "mid", "up0_0", "up0_1", "up0_double", "up1_0", "up1_1",
    ]  # fmt: skip


def test_rows_are_cut_at_the_total_stride_and_heads_are_those_that_attend():
    assert unet_sharding(CONFIGS["conditional"]).units == {"predict": 4}
    assert unet_sharding(CONFIGS["conditional"]).heads == 4
    assert unet_sharding(CONFIGS["pixels"]).heads == 2  # of the one level that attends
    assert set(unet_sharding(CONFIGS["pixels"]).refused) == {"patches", "tensor"}


def test_without_attention_there_is_none_to_share():
    config = UNetConfig(channels=(32, 32), attention=("none", "none"), mid_attention="none")
    assert unet_sharding(config).heads == 0
    assert set(unet_sharding(config).refused) == {"patches", "tensor", "ulysses", "ring"}
