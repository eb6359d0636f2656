from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mmm_diffusion import config as c
from mmm_diffusion.spacing import (
    count_steps,
    flow_levels,
    linspace,
    run_shift,
    shift_level,
    sigma_levels,
    spaced_times,
)

LAW, FLOW = c.ScaledLinearConfig(), c.FlowConfig(time_scale=1000)


def times(**config):
    return spaced_times(LAW, c.TimesConfig(**config))


def test_spacings_of_four_steps():
    assert times(steps=4) == [999, 749, 499, 249]
    assert times(steps=4, spacing="leading") == [750, 500, 250, 0]
    assert times(steps=4, spacing="leading", steps_offset=1) == [751, 501, 251, 1]
    assert times(steps=4, spacing="linspace") == [999, 666, 333, 0]
    assert times(steps=4, spacing="leading", drop_last=True) == [800, 600, 400, 200]
    assert times(steps=7, spacing="linspace", round=False)[1] == pytest.approx(832.5)


def test_lcm_takes_some_of_the_original_times():
    assert times(steps=4, spacing="lcm") == [999, 759, 499, 259]
    assert times(steps=2, spacing="lcm", original_steps=4) == [999, 499]


def test_ties_are_rounded_as_numpys_arange():
    for steps in (3, 7, 48, 96, 112, 999):
        expected = np.round(np.arange(1000, 0, -1000 / steps))[:steps] - 1
        assert times(steps=steps) == expected.tolist()


def test_levels_between_those_of_the_steps_are_counted():
    assert count_steps(LAW, c.TimesConfig(steps=5, between="midpoints")) == 9
    assert count_steps(LAW, c.TimesConfig(steps=10, strength=0.5, between="landings")) == 9


def test_a_dynamic_shift_follows_the_image():
    law = c.FlowConfig(dynamic="exponential", shift=9.0)
    size = {"height": 1024, "width": 1031, "token_px": 16}
    assert c.TimesConfig(steps=1, **size).tokens == 4096
    assert run_shift(law, c.TimesConfig(steps=1, **size)) == pytest.approx(math.exp(1.15))
    assert run_shift(law, c.TimesConfig(steps=1, image_tokens=256)) == pytest.approx(math.exp(0.5))
    linear = c.FlowConfig(dynamic="linear")
    assert run_shift(linear, c.TimesConfig(steps=1, image_tokens=4096)) == pytest.approx(1.15)
    assert run_shift(c.FlowConfig(shift=3), c.TimesConfig(steps=1, **size)) == 3
    stretched = flow_levels(c.FlowConfig(shift_terminal=0.2), c.TimesConfig(steps=4))
    assert stretched[0] == 1 and stretched[-1] == pytest.approx(0.2)
    assert flow_levels(c.FlowConfig(shift_terminal=0.2), c.TimesConfig(steps=1)) == [1]
    capped = flow_levels(FLOW, c.TimesConfig(steps=4, cap=0.9))
    assert capped == [0.9, 0.75, 0.5, 0.25]


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
        (FLOW, {"steps": 4, "spacing": "lcm"}, "a flow is spaced"),
        (FLOW, {"steps": 4, "between": "midpoints"}, "not for a flow"),
        (FLOW, {"steps": 4, "sigma_max": 2.0}, "sigma_max of a flow is at most 1"),
        (c.FlowConfig(dynamic="linear"), {"steps": 4}, "give times image_tokens, or height"),
        (
            c.FlowConfig(dynamic="linear", base_shift=-5),
            {"steps": 4, "image_tokens": 256},
            "must be above 0; 256 tokens make it -5",
        ),
        (LAW, {"steps": 60, "spacing": "lcm"}, "steps 60 <= original_steps 50 <= 1000"),
        (LAW, {"timesteps": (5.0,), "between": "landings"}, "landings are strides"),
        (
            c.ScaledLinearConfig(prediction="v", zero_terminal_snr=True),
            {"steps": 4, "between": "midpoints"},
            "no midpoint",
        ),
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


def test_a_picture_so_large_that_nothing_is_left_to_shift() -> None:
    law = c.FlowConfig(dynamic="exponential")
    with pytest.raises(ValueError, match="make it smaller"):
        run_shift(law, c.TimesConfig(steps=1, image_tokens=10**7))
