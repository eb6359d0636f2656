from __future__ import annotations

import pytest
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


MASK = (torch.arange(16).view(1, 1, 4, 4) % 2).float().expand(2, 1, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_is_noised_to_the_next_question_and_ends_as_it_was(dtype):
    t, sampler = times(), samplers.DDIM(c.DDIMConfig())
    original, eps = (torch.randn_like(X).to(dtype) for _ in range(2))
    values, kept = ops.init(X, t, sampler, c.InitConfig()), (MASK < 0.5).expand_as(X)
    for i in range(3):
        values = step(i, values, t, sampler, pred=X)
        before = values["x"]
        values |= ops.keep(values["state"], values["x"], MASK, original, eps, t, i, sampler)
        alpha, sigma = t.level(i + 1) if i < 2 else (1.0, 0.0)
        assert torch.equal(values["x"][kept], (alpha * original.float() + sigma * eps.float())[kept])
        assert torch.equal(values["x"][~kept], before[~kept])
        assert torch.equal(values["x"], sampler.query(values["state"], t, min(i + 1, 2))[0])
    assert torch.equal(values["latents"][kept], original.float()[kept])


def test_in_the_middle_of_a_step_of_heun_only_the_question_changes():
    t, sampler = times(), samplers.Heun(c.HeunConfig())
    values = ops.init(X, t, sampler, c.InitConfig())
    for i in range(5):
        values = step(i, values, t, sampler, pred=X)
        start = values["state"]["x"]
        values |= ops.keep(values["state"], values["x"], MASK, X * 0 + 9, X * 0, t, i, sampler)
        changed = not torch.equal(values["state"]["x"], start)
        assert changed is (i in (1, 3, 4))  # the last step has no second half
        assert float(values["x"][0, 0, 0, 0]) == pytest.approx(
            9 * (t.level(sampler.level(i + 1))[0] if i < 4 else 1)
        )


def test_channels_lie_side_by_side_in_the_type_of_the_first():
    found = ops.concat(X, MASK.bfloat16(), c.ConcatConfig(channels=3))
    assert found.shape == (2, 3, 4, 4) and found.dtype == torch.float32 and torch.equal(found[:, 2:], MASK)
    with pytest.raises(ValueError, match="2 x 2 x 4 x 4 and 2 x 1 x 2 x 4 do not lie side by side"):
        ops.concat(X, MASK[:, :, :2], c.ConcatConfig())
    with pytest.raises(ValueError, match="2 channels and 1 beside them are 3; the denoiser takes 9"):
        ops.concat(X, MASK, c.ConcatConfig(channels=9))
