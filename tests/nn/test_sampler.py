from __future__ import annotations

import pytest
import torch

from mmm_graph.nn.sampler import Sampler, Times, limit_x0, model_time, to_x0


def times(**kw):
    alpha = torch.tensor([0.2, 0.8, 1.0], dtype=torch.float64)
    t = torch.tensor([999.0, 300.0], dtype=torch.float64)
    return Times(**{"t": t, "alpha": alpha, "sigma": (1 - alpha**2).sqrt(), "prediction": "v", **kw})


@pytest.mark.parametrize("alpha", [0.05, 0.6, 1.0])
def test_every_prediction_gives_back_x0(alpha):
    x0, eps = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = (1 - alpha**2) ** 0.5
    x = alpha * x0 + sigma * eps
    for kind, pred in {"epsilon": eps, "v": alpha * eps - sigma * x0, "sample": x0}.items():
        torch.testing.assert_close(to_x0(pred, x, alpha, sigma, kind), x0)
    level = 1 - alpha
    torch.testing.assert_close(to_x0(eps - x0, alpha * x0 + level * eps, alpha, level, "flow"), x0)


def test_epsilon_without_signal_and_unknown_predictions_are_refused():
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="without signal"):
        to_x0(x, x, 0.0, 1.0, "epsilon")
    with pytest.raises(ValueError, match="unknown prediction 'score'"):
        to_x0(x, x, 1.0, 0.0, "score")


def test_limits():
    x0 = torch.tensor([[-3.0, -0.5, 0.5, 2.0], [-0.1, 0.2, 0.3, 0.4]]).view(2, 1, 2, 2)
    assert torch.equal(limit_x0(x0, times()), x0)
    assert torch.equal(limit_x0(x0, times(clip=1.0)), x0.clamp(-1, 1))
    both = limit_x0(x0, times(clip=0.1, threshold=1.0, threshold_max=9.0))  # the quantile replaces the bound
    torch.testing.assert_close(both[0], x0[0] / 3)
    assert torch.equal(both[1], x0[1])  # never scaled up
    capped = limit_x0(x0, times(threshold=1.0, threshold_max=2.0))
    torch.testing.assert_close(capped[0].flatten(), torch.tensor([-1.0, -0.25, 0.25, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_times_are_not_rounded_in_half_precision(dtype):
    t = model_time(torch.zeros(3, 1, 2, 2, dtype=dtype), times(), 0)
    assert t.tolist() == [999.0] * 3 and t.dtype.itemsize >= 4


def test_times_know_their_levels():
    assert times().count == 2
    assert times().level(2) == (1.0, 0.0)
    with pytest.raises(AttributeError):
        times().t = None


class Config:
    def evaluations(self, steps):
        return 3 * steps


class Once(Sampler):
    def update(self, state, x0, times, i, noise=None, variance=None):
        return {"x": x0}


def test_defaults_of_a_rule():
    rule, x = Once(Config()), torch.ones(2, 1, 2, 2, dtype=torch.bfloat16)
    assert rule.evaluations(times()) == 6
    state = rule.init(x, times())
    assert state["x"].dtype == torch.float32  # steps add up in float32 whatever the denoiser runs in
    asked, t = rule.query(state, times(), 1)
    assert asked is state["x"] and t.tolist() == [300.0, 300.0]
    state = rule.update(state, x.float() * 5, times(), 0)
    assert torch.equal(rule.latents(state), rule.result(state))
    with pytest.raises(TypeError, match="abstract"):
        Sampler(Config())
