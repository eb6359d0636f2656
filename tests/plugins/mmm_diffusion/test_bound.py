"""loss.variance: the variational bound that teaches a denoiser its variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mmm_diffusion import bound, facts, scheduler
from mmm_diffusion import config as c

SHAPE = (2, 3, 4)


def values(t: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """One element at time t, float64."""
    made = torch.Generator().manual_seed(seed)
    x0, eps, pred, variance = torch.randn(4, 1, *SHAPE, generator=made, dtype=torch.float64)
    bar = law().alpha_bar[t]
    x = bar.sqrt() * x0.clamp(-2, 2) + (1 - bar).sqrt() * eps
    return {
        "x0": x0.clamp(-2, 2),
        "x": x,
        "t": torch.tensor([float(t)]),
        "pred": pred,
        "variance": variance.tanh(),
    }


def law(**config: object) -> scheduler.Linear:
    return scheduler.Linear(c.BetaConfig.model_validate(config))


def normals(t: int, v: dict[str, torch.Tensor]) -> tuple[Normal, Normal]:
    """The true step and the denoiser's, written down from the betas alone."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    bar = torch.cumprod(1 - betas, 0)
    beta, now, before = betas[t], bar[t], bar[t - 1] if t else torch.tensor(1.0, dtype=torch.float64)
    k = max(t, 1)
    small = betas[k] * (1 - bar[k - 1]) / (1 - bar[k])
    x0 = (v["x"] - (1 - now).sqrt() * v["pred"]) / now.sqrt()

    def mean(clean: torch.Tensor) -> torch.Tensor:
        return (before.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before) * v["x"]) / (1 - now)

    share = (v["variance"] + 1) / 2
    spread = (share * beta.log() + (1 - share) * small.log()).exp()
    return Normal(mean(v["x0"]), small.sqrt()), Normal(mean(x0), spread.sqrt())


@pytest.mark.parametrize("t", [1, 500, 999])
def test_it_is_the_divergence_of_the_denoisers_step_from_the_true_one(t: int) -> None:
    v = values(t)
    expected = kl_divergence(*normals(t, v)).mean() / math.log(2)
    torch.testing.assert_close(bound.variance_loss(**v, scheduler=law()), expected, rtol=1e-9, atol=0)


def test_at_time_0_it_is_the_likelihood_of_a_bin() -> None:
    v = values(0)
    v["pred"] = (v["x"] - law().alpha_bar[0].sqrt() * (v["x0"] + 0.01 * v["pred"])) / (
        1 - law().alpha_bar[0]
    ).sqrt()
    _, said = normals(0, v)
    low, high = said.cdf(v["x0"] - 1 / 255), said.cdf(v["x0"] + 1 / 255)
    low[v["x0"] < -0.999], high[v["x0"] > 0.999] = 0.0, 1.0
    assert (v["x0"].abs() > 0.999).any() and (v["x0"].abs() < 0.999).any()
    expected = -(high - low).log().mean() / math.log(2)
    torch.testing.assert_close(bound.variance_loss(**v, scheduler=law()), expected, rtol=1e-6, atol=0)


def test_elements_have_their_own_times_and_float32_is_enough() -> None:
    several = [values(t, seed=t) for t in (0, 1, 700)]
    whole = {key: torch.cat([v[key] for v in several]) for key in several[0]}
    whole["pred"][0] = (whole["x"] - whole["x0"])[0] / (1 - law().alpha_bar[0]).sqrt()
    each = [
        bound.variance_loss(**{k: v[i : i + 1] for k, v in whole.items()}, scheduler=law()) for i in range(3)
    ]
    found = bound.variance_loss(**whole, scheduler=law())
    torch.testing.assert_close(found, torch.stack(each).mean())
    narrow = bound.variance_loss(**{k: v.float() for k, v in whole.items()}, scheduler=law())
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), found, rtol=1e-3, atol=0)


def test_the_variance_gets_a_gradient_and_the_prediction_none() -> None:
    v = values(300)
    v["pred"].requires_grad_()
    v["variance"].requires_grad_()
    bound.variance_loss(**v, scheduler=law()).backward()
    assert v["pred"].grad is None and v["variance"].grad is not None and v["variance"].grad.abs().min() > 0


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="a flow has no betas"):
        facts.bound(c.InitConfig(), {"scheduler": c.FlowConfig()}, {})
    have = {"pred.prediction": "v"}
    with pytest.raises(ValueError, match="the denoiser predicts v, the scheduler says epsilon"):
        facts.bound(c.InitConfig(), {"scheduler": c.BetaConfig()}, have)
    assert facts.bound(c.InitConfig(), {"scheduler": c.BetaConfig(prediction="v")}, have) == {}
