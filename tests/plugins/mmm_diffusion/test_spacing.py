from __future__ import annotations

import itertools

import pytest

from mmm_diffusion import config as c
from mmm_diffusion.spacing import count_steps, flow_levels, linspace, shift_level, sigma_levels, spaced_times

LAW, FLOW = c.ScaledLinearConfig(), c.FlowConfig()


def times(**config):
    return spaced_times(LAW, c.TimesConfig(**config))


def test_spacings_of_four_steps():
    assert times(steps=4) == [999, 749, 499, 249]
    assert times(steps=4, spacing="leading") == [750, 500, 250, 0]
    assert times(steps=4, spacing="leading", steps_offset=1) == [751, 501, 251, 1]
    assert times(steps=4, spacing="linspace") == [999, 666, 333, 0]
    assert times(steps=4, spacing="leading", drop_last=True) == [800, 600, 400, 200]
    assert times(steps=7, spacing="linspace", round=False)[1] == pytest.approx(832.5)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50, 333, 999, 1000])
def test_as_many_as_asked_falling_and_in_range(spacing, steps):
    found = times(steps=steps, spacing=spacing)
    assert len(found) == steps == count_steps(LAW, c.TimesConfig(steps=steps, spacing=spacing))
    assert all(a > b for a, b in itertools.pairwise(found))
    assert min(found) >= 0 and max(found) <= 999


def test_strength_leaves_the_last_part():
    assert count_steps(LAW, c.TimesConfig(steps=20, strength=0.6)) == 12
    assert count_steps(LAW, c.TimesConfig(timesteps=(900, 500, 100), strength=0.4)) == 1
    with pytest.raises(ValueError, match=r"strength 0.1 of 5 steps leaves none"):
        count_steps(LAW, c.TimesConfig(steps=5, strength=0.1))


def test_flow_levels():
    assert flow_levels(FLOW, c.TimesConfig(steps=4)) == [1, 0.75, 0.5, 0.25]
    shifted = flow_levels(c.FlowConfig(shift=3), c.TimesConfig(steps=2))
    assert shifted == pytest.approx([1, 0.75])
    assert flow_levels(FLOW, c.TimesConfig(steps=3, spacing="linspace"))[-1] == pytest.approx(0.001)
    assert shift_level(0.5, 1) == 0.5


def test_sigma_levels_end_where_they_should():
    for spacing in ("karras", "exponential"):
        found = sigma_levels(0.1, 10.0, c.TimesConfig(steps=5, spacing=spacing))
        assert found[0] == pytest.approx(10) and found[-1] == pytest.approx(0.1)
        assert found == sorted(found, reverse=True)
    assert linspace(3, 9, 1) == [3]


@pytest.mark.parametrize(
    ("law", "config", "words"),
    [
        (LAW, {"steps": 1001}, "1001 steps do not fit into 1000"),
        (LAW, {"timesteps": (1000, 1)}, r"timesteps lie in 0 .. 999, found 1000"),
        (LAW, {"timesteps": (5.5,), "round": True}, "whole timesteps"),
        (LAW, {"steps": 1000, "spacing": "leading", "steps_offset": 1}, "leads beyond the last time"),
        (FLOW, {"steps": 4, "spacing": "leading"}, "a flow is spaced"),
        (FLOW, {"steps": 4, "final": "first"}, "a flow ends at sigma 0"),
        (FLOW, {"sigmas": (3.0, 1.0)}, r"sigmas of a flow lie in \(0, 1\]"),
        (FLOW, {"timesteps": (1001.0,)}, r"lie in \(0, 1000\]"),
        (
            c.ScaledLinearConfig(prediction="v", zero_terminal_snr=True),
            {"steps": 4, "spacing": "karras"},
            "karras needs sigma_max",
        ),
    ],
)
def test_refusals(law, config, words):
    with pytest.raises(ValueError, match=words):
        count_steps(law, c.TimesConfig(**config))
