import pytest
from pydantic import ValidationError

from mmm_llm.config import DecoderConfig

SMALL = {"width": 12, "depth": 1, "num_heads": 2, "hidden": 8, "vocab_size": 9}


def test_what_is_not_said_is_derived():
    config = DecoderConfig(**SMALL)
    assert (config.num_kv_heads, config.head_dim, config.embed_dim) == (2, 6, 12)
    assert DecoderConfig.model_validate_json(config.model_dump_json()) == config
    assert DecoderConfig(**SMALL, num_kv_heads=1, head_dim=8, embed_dim=5).head_dim == 8


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"num_kv_heads": 3}, "num_heads 2 is not a multiple of num_kv_heads 3"),
        ({"num_heads": 5, "num_kv_heads": 5}, "width 12 does not divide into 5 heads"),
        ({"head_dim": 5}, "rotary positions turn pairs of channels, but a head has 5"),
        ({"position_offset": 2}, "position_offset 2 is of learned positions"),
        ({"num_heads": 0}, "num_heads"),
        ({"num_heads": "two"}, "num_heads"),
        ({"layers": 3}, "layers"),
        (
            {"rope": {"type": "longrope", "original": 4, "short_factor": [1.0], "long_factor": [1.0]}},
            "rope.short_factor has 1 numbers; a head of 6 has 3 pairs",
        ),
    ],
)
def test_configs_that_cannot_be_built_are_refused(more, message):
    with pytest.raises(ValidationError, match=message):
        DecoderConfig(**{**SMALL, **more})


def test_which_blocks_have_a_window():
    config = DecoderConfig(**{**SMALL, "depth": 3}, window=4, window_from=1)
    assert [config.windows(i) for i in range(3)] == [False, True, True]
    assert not DecoderConfig(**SMALL).windows(0)
