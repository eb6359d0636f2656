"""The parts table of the T5 encoder against the module."""

import pytest
import torch

from mmm_graph.testing import check_node
from mmm_t5.config import T5Config
from mmm_t5.model import T5Encoder
from mmm_t5.node import T5
from mmm_t5.parts import TOKENS, t5_parts, t5_path, t5_sharding

SMALL = {"vocab_size": 50, "width": 16, "depth": 2, "num_heads": 4, "head_dim": 6, "hidden": 24}


@pytest.mark.parametrize("changes", [{}, {"gated": False, "activation": "relu", "num_buckets": 8}])
def test_table_is_true_of_the_module(check_parts, changes):
    config = T5Config(**{**SMALL, **changes})
    with torch.device("meta"):
        given = {
            "ids": torch.zeros(1, TOKENS, dtype=torch.int64),
            "mask": torch.ones(1, TOKENS, dtype=torch.bool),
        }
        state = check_parts(t5_parts(config), T5Encoder(config), given, t5_path(config, None))
    assert state["embeds"].shape == (1, TOKENS, 16)


def test_full_size_is_t5_v1_1_xxl():
    assert sum(part.params for part in t5_parts(T5Config())) == 4_762_310_656


def test_a_text_has_heads_to_share_but_no_rows():
    assert t5_sharding(T5Config(**SMALL)).heads == 4 and t5_sharding(T5Config(**SMALL)).units == {}


@pytest.mark.parametrize("changes", [{}, {"gated": False, "activation": "relu"}])
def test_the_node_keeps_its_promises_on_two_ranks_too(changes):
    check_node(T5, config={**SMALL, **changes})
