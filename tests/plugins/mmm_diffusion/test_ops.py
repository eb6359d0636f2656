from __future__ import annotations

import torch

from mmm_diffusion import config as c
from mmm_diffusion import ops, samplers, scheduler
from mmm_graph.nn.noise import Noise

X = Noise((1,), "x", (0, 1), ()).normal((2, 4, 4))


def times(steps=3, **law):
    return scheduler.ScaledLinear(c.ScaledLinearConfig(**law)).times(c.TimesConfig(steps=steps))


def step(i, values, t, sampler, pred=None):
    noise = Noise((1,), "step", (0, 1), (i,))
    return ops.step(values["state"], torch.zeros_like(X) if pred is None else pred, t, i, sampler, noise)


def test_init_asks_the_first_question():
    t, sampler = times(), samplers.Heun(c.HeunConfig())
    values = ops.init(X, t, sampler, c.InitConfig())
    assert values["evaluations"] == 5
    assert torch.equal(values["x"], X) and values["t"].tolist() == [999.0, 999.0]
    scaled = ops.init(X, t, sampler, c.InitConfig(scale="sigma"))["x"]
    torch.testing.assert_close(scaled, X * t.level(0)[1])


def test_step_ends_with_the_next_question_and_the_last_one_with_the_result():
    t, sampler = times(), samplers.DDIM(c.DDIMConfig())
    values = ops.init(X, t, sampler, c.InitConfig())
    for i in range(3):
        values = step(i, values, t, sampler)
        assert values["t"].tolist() == [float(t.t[min(i + 1, 2)])] * 2
        assert torch.equal(values["x"], values["latents"])
    torch.testing.assert_close(values["latents"], values["x0"])  # the last level is clean


def test_x0_is_limited_in_this_one_place():
    t, sampler = times(prediction="sample", clip=0.5), samplers.Euler(c.EulerConfig())
    values = ops.init(X, t, sampler, c.InitConfig())
    values = step(0, values, t, sampler, pred=X * 3)
    assert float(values["x0"].abs().max()) == 0.5


def test_half_precision_predictions_are_summed_in_float32():
    t, sampler = times(), samplers.DPMpp2M(c.DPMpp2MConfig())
    values = ops.init(X.bfloat16(), t, sampler, c.InitConfig())
    values = step(0, values, t, sampler, pred=X.bfloat16())
    assert {v.dtype for v in (values["x"], values["x0"], *values["state"].values())} == {torch.float32}
