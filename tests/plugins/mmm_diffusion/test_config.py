from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_diffusion import config as c


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "found none"),
        ({"steps": 4, "timesteps": (3, 1)}, "found steps and timesteps"),
        ({"timesteps": (1, 3)}, "timesteps must fall strictly"),
        ({"timesteps": ()}, "timesteps must fall strictly"),
        ({"sigmas": (3.0, 0.0)}, "clean end is added"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"steps": 3, "strength": 0}, "greater than 0"),
        ({"steps": 3, "sigma_min": 2, "sigma_max": 1}, "sigma_min must be below"),
        ({"steps": 3, "spacing": "quadratic"}, "'leading'"),
        ({"step": 3}, "Extra inputs"),
        ({"steps": 3, "height": 512, "width": 512}, "all of height, width and token_px"),
        ({"steps": 3, "height": 8, "width": 8, "token_px": 2, "image_tokens": 16}, "image_tokens, or all of"),
    ],
)
def test_times_are_chosen_in_exactly_one_way(config, words):
    with pytest.raises(ValidationError, match=words):
        c.TimesConfig(**config)


def test_zero_terminal_snr_needs_another_prediction():
    with pytest.raises(ValidationError, match="use v or sample"):
        c.CosineConfig(zero_terminal_snr=True)
    assert c.CosineConfig(zero_terminal_snr=True, prediction="v").dark
    assert not c.CosineConfig(zero_terminal_snr=True, terminal=2**-24).dark


def test_the_line_of_a_dynamic_shift_has_two_ends():
    with pytest.raises(ValidationError, match="base_tokens 256 must be below max_tokens 256"):
        c.FlowConfig(dynamic="linear", max_tokens=256)


def test_evaluations_and_branches():
    assert [c.HeunConfig().evaluations(n) for n in (1, 7, 50)] == [1, 13, 99]
    assert c.DDIMConfig().evaluations(7) == 7 and c.DDIMConfig(lands=True).evaluations(13) == 7
    assert [c.PNDMConfig().evaluations(n) for n in (1, 2, 50)] == [1, 3, 51]
    assert c.CFGConfig(scale=3).branches() == ("cond", "uncond")
    assert c.CFGConfig(scale=1).branches() == ("cond",) == c.NoGuidanceConfig().branches()


def test_samplers_refuse_what_they_cannot_follow():
    with pytest.raises(ValueError, match="cannot start without signal"):
        c.HeunConfig().check("v", signal=False)
    for config in (c.LMSConfig(), c.PNDMConfig(), c.UniPCConfig(predicts="epsilon")):
        with pytest.raises(ValueError, match="cannot start without signal"):
            config.check("v", signal=False)
    for config in (c.PNDMConfig(), c.UniPCConfig(predicts="epsilon")):
        with pytest.raises(ValueError, match="without"):
            config.check("flow")
    with pytest.raises(ValueError, match="fixed_large is about the betas"):
        c.DDPMConfig(variance="fixed_large").check("flow")
    for config in (
        c.DDPMConfig(),
        c.DDIMConfig(),
        c.EulerConfig(),
        c.EulerAncestralConfig(),
        c.DPMpp2MConfig(),
        c.DPMppSDEConfig(),
        c.UniPCConfig(),
        c.LCMConfig(),
    ):
        config.check("flow")
        config.check("v", signal=False)
