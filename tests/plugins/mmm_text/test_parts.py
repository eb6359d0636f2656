"""The parts table of the text encoder against the module."""

import pytest
import torch

from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.model import TextEncoder
from mmm_text.parts import encoder_parts, encoder_path, encoder_sharding

SMALL = TextEncoderConfig(vocab_size=50, max_length=9, width=16, depth=3, num_heads=2, hidden=32, eos_id=49)


@pytest.mark.parametrize(
    "changes", [{}, {"causal": False, "pool": "mean", "projection": True, "pooled_dim": 5}]
)
def test_table_is_true_of_the_module(check_parts, changes):
    config = TextEncoderConfig(**{**SMALL.model_dump(exclude={"pooled_dim"}), **changes})
    with torch.device("meta"):
        given = {"ids": torch.zeros(1, 9, dtype=torch.int64)}
        state = check_parts(encoder_parts(config), TextEncoder(config), given)
    assert state["embeds"].shape == (1, 9, 16)
    assert state["pooled"].shape == (1, config.pooled_dim)


def test_full_size_is_clip_l():
    assert sum(part.params for part in encoder_parts(TextEncoderConfig())) == 123_060_480


@pytest.mark.parametrize(
    ("layer", "norm", "path"),
    [
        (-1, True, "embed block0 block1 block2 norm tap pool"),
        (-2, True, "embed block0 block1 norm tap pool"),
        (-2, False, "embed block0 block1 tap block2 norm pool"),
        (0, False, "embed tap block0 block1 block2 norm pool"),
    ],
)
def test_the_layer_is_where_the_path_taps(layer, norm, path):
    assert encoder_path(SMALL, EncodeConfig(layer=layer, norm=norm)) == tuple(path.split())


def test_windows_are_found_first():
    path = encoder_path(SMALL, EncodeConfig(window=9))
    assert path == ("window", *encoder_path(SMALL, EncodeConfig()))
    with pytest.raises(ValueError, match="window 8 is not the max_length 9"):
        encoder_path(SMALL, EncodeConfig(window=8))


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer {layer} is not one of the 4 hidden states"):
        encoder_path(SMALL, EncodeConfig(layer=layer))


def test_a_text_has_heads_to_share_but_no_rows():
    assert encoder_sharding(SMALL).heads == 2 and encoder_sharding(SMALL).units == {}
