"""The parts table of the diffusion transformer against the module."""

import pytest
import torch

from mmm_dit.config import DiTConfig
from mmm_dit.model import DiT
from mmm_dit.parts import COND_TOKENS, dit_parts, dit_path, dit_sharding
from mmm_graph.registry import Sharding

CONFIGS = {
    "classes": DiTConfig(sample_size=8, width=32, depth=2, num_heads=2, num_classes=11, learned_sigma=True),
    "text": DiTConfig(
        sample_size=12,
        patch_size=3,
        width=32,
        depth=2,
        num_heads=2,
        cross=True,
        cond_dim=10,
        pooled=True,
        pooled_dim=6,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_table_is_true_of_the_module(check_parts, name):
    config = CONFIGS[name]
    size = config.sample_size
    with torch.device("meta"):
        given = {"x": torch.zeros(1, 4, size, size), "t": torch.zeros(1)}
        if config.cross:
            given |= {"cond.embeds": torch.zeros(1, COND_TOKENS, 10), "cond.pooled": torch.zeros(1, 6)}
        else:
            given |= {"cond.label": torch.zeros(1, dtype=torch.int64)}
        state = check_parts(dit_parts(config), DiT(config), given)
    assert state["pred"].shape == state["x"].shape
    assert ("variance" in state) == config.learned_sigma


def test_xl_2_has_the_published_work():
    table = dit_parts(DiTConfig(num_classes=1001, learned_sigma=True))
    assert sum(part.params for part in table) == 674_834_720
    # The paper counts 118.64 G multiply-adds.
    assert sum(part.flops for part in table) / 2 == pytest.approx(118.64e9, rel=0.001)


def test_the_path_is_the_whole_table():
    config = CONFIGS["text"]
    assert dit_path(config, None) == tuple(part.name for part in dit_parts(config))


def test_rows_are_cut_at_patches_and_attention_keeps_all_tokens():
    config = CONFIGS["text"]
    assert dit_sharding(config) == Sharding({"predict": 3}, heads=2)
    keys_and_values = 2 * 16 * 32
    assert [part.kept for part in dit_parts(config)] == [0, keys_and_values, keys_and_values, 0]
