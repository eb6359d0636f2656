"""The formulas by hand; transformers' models are compared with in tests/plugins/mmm_llm/test_rope.py."""

import math

import pytest
import torch

from mmm_graph.nn.rope_config import RopeConfig
from mmm_graph.nn.rope_scaling import attention_factor, depends_on_length, frequencies

DIM, LENGTHS = 16, torch.tensor([[8], [40]])
PLAIN = torch.tensor([10000.0 ** (-i / 8) for i in range(8)])


def found(**more):
    return frequencies(RopeConfig(**more), DIM, 20, LENGTHS)


def test_frequencies_fall_from_one():
    assert torch.allclose(found(), PLAIN)
    assert torch.allclose(found(theta=100.0)[-1], torch.tensor(100.0 ** (-7 / 8)))


def test_linear_divides_all():
    assert torch.equal(found(type="linear", factor=4.0), found() / 4)


def test_dynamic_changes_nothing_up_to_the_context_and_then_reaches_as_far_as_the_text():
    rows = found(type="dynamic", factor=3.0)
    assert torch.allclose(rows[0], PLAIN) and rows.shape == (2, 8)
    assert rows[1, 0] == 1
    assert rows[1, -1] == pytest.approx(
        float(PLAIN[-1] / (3 * 40 / 20 - 2))
    )  # the slowest is divided by the ratio


def test_yarn_keeps_fast_ones_and_divides_slow_ones():
    rope = {"type": "yarn", "factor": 8.0, "original": 4096}
    ratio = frequencies(RopeConfig(**rope), 64, 4096, LENGTHS) / frequencies(RopeConfig(), 64, 4096, LENGTHS)
    turns = 4096 * frequencies(RopeConfig(), 64, 4096, LENGTHS) / (2 * math.pi)
    assert torch.allclose(ratio[turns > 64], torch.tensor(1.0)) and torch.allclose(
        ratio[turns < 0.5], torch.tensor(1 / 8)
    )
    assert ((ratio[1:] - ratio[:-1]) <= 1e-6).all() and ((ratio > 0.13) & (ratio < 0.99)).any()


def test_llama3_mixes_by_wavelength():
    rope = RopeConfig(type="llama3", factor=8.0, original=64, low_freq_factor=1.0, high_freq_factor=4.0)
    mine, waves = frequencies(rope, DIM, 512, LENGTHS), 2 * math.pi / PLAIN
    assert torch.equal(mine[waves < 16], found()[waves < 16])
    assert torch.equal(mine[waves > 64], found()[waves > 64] / 8)
    for middle in (1, 2):  # wavelengths 19.9 and 62.8
        share = float((64 / waves[middle] - 1) / 3)
        assert float(mine[middle]) == pytest.approx(
            float(PLAIN[middle]) * (share + (1 - share) / 8), rel=1e-5
        )


def test_longrope_has_divisors_of_its_own_for_long_texts():
    rope = {
        "type": "longrope",
        "original": 20,
        "short_factor": [2.0] * 8,
        "long_factor": [float(i + 1) for i in range(8)],
    }
    rows = found(**rope)
    assert torch.allclose(rows[0], PLAIN / 2) and torch.allclose(rows[1], PLAIN / torch.arange(1, 9))


@pytest.mark.parametrize(
    ("more", "factor"),
    [
        ({}, 1.0),
        ({"type": "linear", "factor": 4}, 1.0),
        ({"type": "yarn", "factor": 4, "original": 5}, 0.1 * math.log(4) + 1),
        ({"type": "yarn", "factor": 1, "original": 5}, 1.0),
        ({"type": "yarn", "factor": 4, "original": 5, "attention_factor": 0.5}, 0.5),
        (
            {"type": "yarn", "factor": 4, "original": 5, "mscale": 0.5, "mscale_all_dim": 2.0},
            (0.05 * math.log(4) + 1) / (0.2 * math.log(4) + 1),
        ),
        (
            {"type": "longrope", "original": 5, "short_factor": (), "long_factor": ()},
            math.sqrt(1 + math.log(4) / math.log(5)),
        ),
        ({"type": "longrope", "original": 20, "short_factor": (), "long_factor": ()}, 1.0),
    ],
)
def test_attention_gets_sharper(more, factor):
    assert attention_factor(RopeConfig(**more), 20) == pytest.approx(factor)


def test_which_types_look_at_the_length():
    longrope = {"type": "longrope", "original": 5, "short_factor": (), "long_factor": ()}
    configs = [{}, {"type": "linear", "factor": 2}, {"type": "dynamic", "factor": 2}, longrope]
    assert [depends_on_length(RopeConfig(**more)) for more in configs] == [False, False, True, True]
