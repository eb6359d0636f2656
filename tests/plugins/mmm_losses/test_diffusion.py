"""loss.diffusion: weights by level, and what the compiler refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from mmm_losses.diffusion import ops
from mmm_losses.diffusion.config import DiffusionLossConfig
from mmm_losses.diffusion.facts import diffusion as facts


def pair(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


def check(have, **config):
    return facts(DiffusionLossConfig(**config), {}, have)


def test_agreement():
    assert check({}) == {}
    have = {"pred.prediction": "v", "target.prediction": "v"}
    assert check(have, prediction="v", weighting="min_snr") == {}
    assert check({"target.prediction": "flow"}, weighting="cosmap") == {}


@pytest.mark.parametrize(
    ("have", "config"),
    [
        ({"pred.prediction": "v", "target.prediction": "epsilon"}, {}),
        ({"target.prediction": "epsilon"}, {"prediction": "v"}),
    ],
)
def test_disagreement_names_both_ends(have, config):
    with pytest.raises(ValueError, match="they must agree"):
        check(have, **config)


def test_weightings_that_are_for_something_else():
    with pytest.raises(ValueError, match="set config prediction"):
        check({}, weighting="min_snr")
    with pytest.raises(ValueError, match="weighting cosmap is for flows, and epsilon is predicted"):
        check({"target.prediction": "epsilon"}, weighting="cosmap")
    with pytest.raises(ValidationError):
        DiffusionLossConfig(gamma=0)


def test_simple_loss_is_the_mean_square():
    pred, target = pair(3, 2, 4, 4)
    torch.testing.assert_close(ops.diffusion(pred, target, DiffusionLossConfig()), F.mse_loss(pred, target))


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample", "flow"])
def test_min_snr_is_one_weight_of_the_error_in_x0(prediction):
    """Whatever is predicted, the weighted loss is min(snr, gamma) |x0 error|^2."""
    snr = torch.tensor([0.01, 1.0, 5.0, 400.0], dtype=torch.float64)
    pred, target = pair(4, 2, 3, 3)
    alpha = snr.sqrt() / (1 + snr.sqrt()) if prediction == "flow" else (snr / (1 + snr)).sqrt()
    sigma = 1 - alpha if prediction == "flow" else (1 - alpha**2).sqrt()
    factor = {"epsilon": sigma / alpha, "v": sigma, "sample": torch.ones(4), "flow": sigma}[prediction]
    error = ((pred - target).double() * factor.view(-1, 1, 1, 1)).square()
    expected = (error * snr.clamp(max=5.0).view(-1, 1, 1, 1)).mean()
    config = DiffusionLossConfig(weighting="min_snr", prediction=prediction)
    found = ops.diffusion(pred.double(), target.double(), config, snr)
    torch.testing.assert_close(found, expected)


def test_min_snr_formulas():
    snr = torch.tensor([0.0, 0.5, 5.0, 50.0, float("inf")])
    gamma = 5.0
    assert ops.min_snr_weight(snr[1:4], gamma, "epsilon").tolist() == pytest.approx([1, 1, 0.1])
    assert ops.min_snr_weight(snr[1:4], gamma, "v").tolist() == pytest.approx([1 / 3, 5 / 6, 5 / 51])
    for prediction in ("epsilon", "v", "flow"):
        assert ops.min_snr_weight(snr, gamma, prediction).isfinite().all()


@pytest.mark.parity
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr_is_that_of_diffusers_trainers(prediction):
    """Their text-to-image trainers: min(snr, gamma) / snr, and / (snr + 1) for v; snr by their own function."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    t = torch.tensor([0, 10, 300, 999])
    snr = compute_snr(DDPMScheduler(beta_schedule="scaled_linear"), t)
    capped = torch.stack([snr, torch.full_like(snr, 5.0)], 1).min(1)[0]
    want = capped / (snr + (prediction == "v"))
    torch.testing.assert_close(ops.min_snr_weight(snr, 5.0, prediction), want)


@pytest.mark.parity
@pytest.mark.parametrize("weighting", ["sigma_sqrt", "cosmap"])
def test_weights_of_flows_are_those_of_diffusers(weighting):
    from diffusers.training_utils import compute_loss_weighting_for_sd3

    sigma = torch.tensor([0.01, 0.3, 0.5, 1.0], dtype=torch.float64)
    want = compute_loss_weighting_for_sd3(weighting, sigma).double()
    pred, target = pair(4, 2, 3, 3).double()
    config = DiffusionLossConfig(weighting=weighting, prediction="flow")
    found = ops.diffusion(pred, target, config, ((1 - sigma) / sigma) ** 2)
    expected = ((pred - target).square() * want.view(-1, 1, 1, 1)).mean()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weighting", ["min_snr", "cosmap"])
def test_a_weighting_says_what_it_misses(weighting):
    pred, target = pair(2, 1, 2, 2)
    config = DiffusionLossConfig(weighting=weighting, prediction="flow")
    with pytest.raises(ValueError, match=f"{weighting} needs the port snr"):
        ops.diffusion(pred, target, config)


def test_no_elements():
    x = torch.zeros(0, 2, 3, requires_grad=True)
    value = ops.diffusion(x, x.detach(), DiffusionLossConfig())
    value.backward()
    assert float(value.detach()) == 0 and x.grad is not None and x.grad.shape == x.shape
