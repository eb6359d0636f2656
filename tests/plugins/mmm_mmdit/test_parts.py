"""The parts table of the joint-attention transformer against the module."""

import pytest
import torch

from mmm_graph.registry import Sharding
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.model import MMDiT
from mmm_mmdit.parts import COND_TOKENS, mmdit_parts, mmdit_path, mmdit_sharding

SMALL = {"depth": 3, "num_heads": 2, "head_dim": 16, "cond_dim": 10, "pooled_dim": 6}
CONFIGS = {
    "plain": MMDiTConfig(**SMALL, in_channels=4, out_channels=4, sample_size=16),
    "normed": MMDiTConfig(
        **SMALL, in_channels=4, out_channels=8, sample_size=18, patch_size=3, qk_norm="rms_norm"
    ),
    "dual": MMDiTConfig(
        **SMALL, in_channels=4, out_channels=4, sample_size=16, qk_norm="rms_norm", dual_blocks=(0, 2)
    ),
    "dual without norms": MMDiTConfig(
        **SMALL, in_channels=4, out_channels=4, sample_size=16, dual_blocks=(1,)
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
        state = check_parts(mmdit_parts(config), MMDiT(config), given)
    assert state["pred"].shape == (1, config.out_channels, size, size)


def test_the_path_is_the_whole_table():
    config = CONFIGS["plain"]
    assert mmdit_path(config, None) == tuple(part.name for part in mmdit_parts(config))


def test_text_is_joint_and_stays_in_what_attention_keeps():
    config = CONFIGS["normed"]
    assert mmdit_sharding(config) == Sharding({"predict": 3}, heads=2, joint=("text",))
    keys_and_values = 2 * (36 + COND_TOKENS) * 32
    assert [part.kept for part in mmdit_parts(config)] == [0, *[keys_and_values] * 3, 0]
    alone = 2 * 64 * 32  # keys and values of image tokens once more
    plain, *_ = (part.kept for part in mmdit_parts(CONFIGS["plain"])[1:])
    dual = [part.kept for part in mmdit_parts(CONFIGS["dual"])]
    assert dual == [0, plain + alone, plain, plain + alone, 0]
    assert [part.writes for part in mmdit_parts(config)][2:] == [("h", "text"), ("h",), ("pred",)]
