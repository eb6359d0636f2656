from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from mmm_losses import config as c
from mmm_losses import ops


def pair(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


def test_simple_loss_is_the_mean_square():
    pred, target = pair(3, 2, 4, 4)
    torch.testing.assert_close(ops.diffusion(pred, target, c.DiffusionLossConfig()), F.mse_loss(pred, target))


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
    config = c.DiffusionLossConfig(weighting="min_snr", prediction=prediction)
    found = ops.diffusion(pred.double(), target.double(), config, snr)
    torch.testing.assert_close(found, expected)


def test_min_snr_formulas():
    snr = torch.tensor([0.0, 0.5, 5.0, 50.0, float("inf")])
    gamma = 5.0
    assert ops.min_snr_weight(snr[1:4], gamma, "epsilon").tolist() == pytest.approx([1, 1, 0.1])
    assert ops.min_snr_weight(snr[1:4], gamma, "v").tolist() == pytest.approx([1 / 3, 5 / 6, 5 / 51])
    for prediction in ("epsilon", "v", "flow"):
        assert ops.min_snr_weight(snr, gamma, prediction).isfinite().all()


def test_min_snr_says_what_it_misses():
    pred, target = pair(2, 1, 2, 2)
    config = c.DiffusionLossConfig(weighting="min_snr", prediction="v")
    with pytest.raises(ValueError, match="port snr"):
        ops.diffusion(pred, target, config)


def test_errors():
    pred, target = pair(3, 2, 4)
    torch.testing.assert_close(ops.mse(pred, target, c.ErrorConfig()), F.mse_loss(pred, target))
    torch.testing.assert_close(ops.l1(pred, target, c.ErrorConfig()), F.l1_loss(pred, target))
    summed = ops.mse(pred, target, c.ErrorConfig(reduction="sum"))
    torch.testing.assert_close(summed, F.mse_loss(pred, target) * 8)


@pytest.mark.parametrize("loss", [ops.mse, ops.l1])
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(3, 4\) and target \(4,\)"):
        loss(torch.zeros(3, 4), torch.zeros(4), c.ErrorConfig())


def test_half_precision_errors_are_summed_in_float32():
    pred = torch.full((1, 4096), 0.1, dtype=torch.float16)
    found = ops.mse(pred, torch.zeros_like(pred), c.ErrorConfig(reduction="sum"))
    assert found.dtype == torch.float32 and float(found) == pytest.approx(40.95, rel=1e-2)


def test_kl_agrees_with_torch():
    mean, logvar = pair(3, 2, 4, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (logvar / 2).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(ops.kl(mean, logvar, c.KLConfig()), expected.sum() / 3)
    torch.testing.assert_close(ops.kl(mean, logvar, c.KLConfig(reduction="mean")), expected.mean())


def test_cross_entropy_over_any_leading_dims():
    logits = pair(4, 5, 7)[0]
    labels = torch.randint(7, (4, 5), generator=torch.Generator().manual_seed(1))
    labels[0, :3] = -100
    config = c.CrossEntropyConfig(smoothing=0.1)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(ops.cross_entropy(logits, labels, config), expected)
    silent = ops.cross_entropy(logits, torch.full_like(labels, -100), c.CrossEntropyConfig())
    assert float(silent) == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: ops.mse(x, x.detach(), c.ErrorConfig()),
        lambda x: ops.l1(x, x.detach(), c.ErrorConfig(reduction="sum")),
        lambda x: ops.diffusion(x, x.detach(), c.DiffusionLossConfig()),
        lambda x: ops.kl(x, x, c.KLConfig()),
        lambda x: ops.cross_entropy(x.flatten(1), torch.zeros(0, dtype=torch.int64), c.CrossEntropyConfig()),
    ],
)
def test_a_loss_over_no_elements_is_zero_with_a_gradient(loss):
    x = torch.zeros(0, 2, 3, requires_grad=True)
    value = loss(x)
    value.backward()
    assert float(value.detach()) == 0 and x.grad is not None and x.grad.shape == x.shape


def test_configs():
    with pytest.raises(ValidationError):
        c.DiffusionLossConfig(gamma=0)
    with pytest.raises(ValidationError):
        c.DropConfig(p=1.5)
