"""The parts table of the PixArt transformer against the module."""

import pytest
import torch

from mmm_graph.registry import Sharding
from mmm_graph.testing import check_node
from mmm_pixart.config import PixArtConfig
from mmm_pixart.model import PixArt
from mmm_pixart.node import PIXART
from mmm_pixart.parts import COND_TOKENS, pixart_parts, pixart_path, pixart_sharding

SMALL = {"width": 36, "depth": 2, "num_heads": 3, "cond_dim": 10, "freq_dim": 16}
CONFIGS = {
    "text": PixArtConfig(**SMALL, sample_size=16),
    "sizes": PixArtConfig(
        **SMALL, sample_size=18, patch_size=3, in_channels=3, size_condition=True, learned_sigma=False
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_table_is_true_of_the_module(check_parts, name):
    config = CONFIGS[name]
    size = config.sample_size
    with torch.device("meta"):
        given = {
            "x": torch.zeros(1, config.in_channels, size, size),
            "t": torch.zeros(1),
            "cond.embeds": torch.zeros(1, COND_TOKENS, 10),
        }
        if config.size_condition:
            given |= {"cond.resolution": torch.zeros(1, 2), "cond.aspect": torch.zeros(1, 1)}
        state = check_parts(pixart_parts(config), PixArt(config), given)
    assert state["pred"].shape == state["x"].shape
    assert ("variance" in state) == config.learned_sigma


def test_the_path_is_the_whole_table():
    config = CONFIGS["text"]
    assert pixart_path(config, None) == tuple(part.name for part in pixart_parts(config))


def test_rows_are_cut_at_patches_and_attention_keeps_all_image_tokens():
    config = CONFIGS["sizes"]
    assert pixart_sharding(config) == Sharding({"predict": 3}, heads=3)
    keys_and_values = 2 * 36 * 36
    assert [part.kept for part in pixart_parts(config)] == [0, keys_and_values, keys_and_values, 0]


def test_blocks_read_the_text_that_the_embedding_wrote():
    first, *blocks, head = pixart_parts(CONFIGS["text"])
    assert first.writes == ("h", "time", "c", "text")
    assert all("text" in part.reads and "cond.embeds" not in part.reads for part in blocks)
    assert head.reads == ("h", "time", "x")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_node_keeps_its_promises(name):
    config = CONFIGS[name]
    fields = ["embeds", "mask"] + (["resolution", "aspect"] if config.size_condition else [])
    shapes = {"embeds": (2, 5, 10), "mask": (2, 5), "resolution": (2, 2), "aspect": (2, 1)}
    cond = {
        field: torch.ones(shapes[field], dtype=torch.bool if field == "mask" else None) for field in fields
    }
    check_node(
        PIXART, config=config.model_dump(), values={"cond": cond}, dims={"h": 3 * config.patch_size, "w": 12}
    )
