import pytest
from pydantic import ValidationError

from mmm_graph.nn.rope_config import RopeConfig

LONG = {"type": "longrope", "original": 10, "short_factor": (1.0,), "long_factor": (2.0,)}


@pytest.mark.parametrize(
    ("more", "context"),
    [
        ({}, 100),
        ({"type": "linear", "factor": 2.5}, 250),
        ({"type": "dynamic", "factor": 2}, 200),
        ({"type": "yarn", "factor": 4, "original": 100}, 400),
        ({"type": "yarn", "factor": 4, "original": 25}, 100),
        (LONG, 100),
        ({**LONG, "factor": 20.0}, 100),
    ],
)
def test_a_context_is_as_long_as_scaling_makes_it(more, context):
    assert RopeConfig(**more).context(100) == context


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"type": "linear"}, "rope type linear needs factor"),
        ({"type": "llama3", "factor": 8}, "needs original, low_freq_factor, high_freq_factor"),
        ({"type": "linear", "factor": 2, "beta_fast": 3}, "rope type linear has no beta_fast"),
        ({"factor": 2}, "rope type default has no factor"),
        ({"type": "linear", "factor": 0.5}, "factor"),
        ({"type": "su"}, "type"),
    ],
)
def test_what_has_no_meaning_is_refused(more, message):
    with pytest.raises(ValidationError, match=message):
        RopeConfig(**more)


def test_defaults_may_be_written_out():
    assert RopeConfig(**RopeConfig().model_dump()) == RopeConfig()
    assert RopeConfig.model_validate_json(RopeConfig(**LONG).model_dump_json()) == RopeConfig(**LONG)
