from __future__ import annotations

import pytest

from mmm_diffusion import config as c
from mmm_diffusion import facts
from mmm_graph.config import Empty
from mmm_graph.registry import SamplerConfig


def test_times_know_count_prediction_and_signal():
    found = facts.times(
        c.CosineConfig(prediction="v", threshold=0.99), c.TimesConfig(steps=9, strength=0.5), {}
    )
    assert found["times.count"] == 4 and found["times.prediction"] == "v"
    assert found["times.signal"] is True and found["times.pointwise"] is False
    dark = c.CosineConfig(prediction="v", zero_terminal_snr=True)
    assert facts.times(dark, c.TimesConfig(steps=9), {})["times.signal"] is False
    assert facts.times(dark, c.TimesConfig(steps=9, spacing="leading"), {})["times.signal"] is True
    assert facts.times(dark, c.TimesConfig(timesteps=(999.0, 3.0)), {})["times.signal"] is False
    assert facts.times(dark, c.TimesConfig(sigmas=(50.0, 3.0)), {})["times.signal"] is True
    nearly = c.CosineConfig(prediction="v", zero_terminal_snr=True, terminal=2**-24)
    assert facts.times(nearly, c.TimesConfig(steps=9), {})["times.signal"] is True


def test_samplers_want_their_levels_between():
    have = {"times.count": 9, "times.prediction": "v", "times.between": "midpoints"}
    assert facts.times(c.CosineConfig(), c.TimesConfig(steps=5, between="midpoints"), {})["times.count"] == 9
    assert facts.init(c.InitConfig(), {"sampler": c.DPMppSDEConfig()}, have) == {"evaluations.count": 9}
    with pytest.raises(ValueError, match="need `between: none`, and they say midpoints"):
        facts.init(c.InitConfig(), {"sampler": c.EulerConfig()}, have)
    landed = {**have, "times.between": "landings"}
    assert facts.init(c.InitConfig(), {"sampler": c.DDIMConfig(lands=True)}, landed) == {
        "evaluations.count": 5
    }
    with pytest.raises(ValueError, match="need `between: landings`"):
        facts.init(c.InitConfig(), {"sampler": c.DDIMConfig(lands=True)}, {"times.count": 5})


def test_evaluations_follow_the_sampler():
    have = {"times.count": 7, "times.prediction": "flow"}
    assert facts.init(c.InitConfig(), {"sampler": c.HeunConfig()}, have) == {"evaluations.count": 13}
    assert facts.init(c.InitConfig(), {"sampler": c.EulerConfig()}, have) == {"evaluations.count": 7}
    assert facts.init(c.InitConfig(), {"sampler": c.EulerConfig()}, {}) == {}
    assert facts.init(c.InitConfig(), {"sampler": Global()}, {}) == {"rowwise": False}
    with pytest.raises(ValueError, match="a flow has none"):
        facts.init(c.InitConfig(), {"sampler": c.DDPMConfig(variance="fixed_large")}, have)
    with pytest.raises(ValueError, match="without signal"):
        facts.init(c.InitConfig(), {"sampler": c.HeunConfig()}, {**have, "times.signal": False})


def test_what_the_denoiser_predicts_must_be_what_the_times_are_for():
    uses, times = {"sampler": c.EulerConfig()}, {"times.prediction": "v", "times.pointwise": True}
    assert facts.step(Empty(), uses, {"pred.prediction": "v", **times}) == {}
    assert facts.step(Empty(), uses, times) == {}
    with pytest.raises(ValueError, match="predicts epsilon, the scheduler's times are for v"):
        facts.step(Empty(), uses, {"pred.prediction": "epsilon", **times})


class Global(SamplerConfig):
    """A step rule that looks at the whole image."""

    def pointwise(self):
        return False


@pytest.mark.parametrize(
    ("sampler", "have"),
    [
        (c.EulerConfig(), {"times.pointwise": False}),
        (c.EulerConfig(), {}),
        (Global(), {"times.pointwise": True}),
    ],
    ids=["thresholding", "unknown times", "sampler"],
)
def test_steps_that_need_the_whole_image_say_so(sampler, have):
    assert facts.step(Empty(), {"sampler": sampler}, have) == {"rowwise": False}


def test_branches_pass_their_prediction_on():
    guide = c.CFGConfig()
    assert facts.combine(guide, Empty(), {"branches.prediction": "v"}) == {"pred.prediction": "v"}
    assert facts.combine(guide, Empty(), {}) == {}
    assert facts.combine(c.CFGConfig(rescale=0.5), Empty(), {}) == {"rowwise": False}
    with pytest.raises(ValueError, match="different things: v, epsilon"):
        facts.combine(guide, Empty(), {"branches.prediction": ("v", "epsilon")})


def test_training_targets_say_what_they_are():
    assert facts.noised(c.FlowConfig(), Empty(), {}) == {"target.prediction": "flow"}
