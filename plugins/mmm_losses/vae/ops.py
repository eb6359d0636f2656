"""Losses of autoencoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.noise import Noise
from mmm_losses.numbers import mean_of, unit, widened
from mmm_losses.vae.config import AdversaryConfig, KLConfig, PerceptualConfig, SampleConfig


def kl(mean: Tensor, logvar: Tensor, config: KLConfig) -> Tensor:
    """Divergence of N(mean, exp(logvar)) from the standard normal.

    Source: Kingma & Welling 2013 (arXiv:1312.6114), appendix B.
    """
    mean, logvar = widened(mean), widened(logvar)
    values = (mean.square() + logvar.exp() - 1 - logvar) / 2
    return mean_of(values) if config.reduction == "mean" else values.sum() / max(1, len(values))


def sample_latents(mean: Tensor, logvar: Tensor, config: SampleConfig, noise: Noise) -> Tensor:
    """A draw from N(mean, exp(logvar)), shifted and scaled.

    Source: Kingma & Welling 2013 (arXiv:1312.6114), section 2.4.
    """
    z = mean + torch.exp(logvar / 2) * noise.normal(mean.shape[1:], dtype=mean.dtype, device=mean.device)
    return (z - config.shift) * config.scale


def perceptual(pred: Sequence[Tensor], target: Sequence[Tensor], config: PerceptualConfig) -> Tensor:
    """sum over layers of weight * mean over places and elements of |f(pred) - f(target)|^2.

    Args:
        pred, target: features of the same layers of one network: maps [b,c,h,w], or tokens [b,l,c].

    Raises:
        RunError: E781, other numbers of layers, or features of other shapes.
    Source: Zhang et al. 2018 (arXiv:1801.03924), eq. 1, with one weight for each layer instead of each channel.
    """
    weights = config.layers or (1.0,) * len(pred)
    if not len(pred) == len(target) == len(weights):
        message = f"{len(pred)} layers of pred, {len(target)} of target, {len(weights)} weights"
        raise RunError(problem("E781", message, hint="link the same layers of both, in the same order"))
    terms = [
        w * _unlike(p, t, i, config) for i, (p, t, w) in enumerate(zip(pred, target, weights, strict=True))
    ]
    return torch.stack(terms).sum()


def gan_generator(fake: Tensor, config: AdversaryConfig) -> Tensor:
    """How far scores [b,l] of what was made are from being taken for real.

    Source: hinge: Lim & Ye 2017 (arXiv:1705.02894); non_saturating: Goodfellow et al. 2014 (arXiv:1406.2661),
    section 3.
    """
    scores = widened(fake)
    return mean_of(-scores if config.kind == "hinge" else F.softplus(-scores))


def gan_discriminator(real: Tensor, fake: Tensor, config: AdversaryConfig) -> Tensor:
    """How far scores [b,l] are from telling real from made; the mean of both sides, as latent diffusion has it.

    Source: hinge: Lim & Ye 2017 (arXiv:1705.02894); non_saturating: Goodfellow et al. 2014 (arXiv:1406.2661),
    eq. 1; the half: Esser et al. 2021 (arXiv:2012.09841) as released.
    """
    right, made = widened(real), widened(fake)
    if config.kind == "hinge":
        return (mean_of((1 - right).clamp(min=0)) + mean_of((1 + made).clamp(min=0))) / 2
    return (mean_of(F.softplus(-right)) + mean_of(F.softplus(made))) / 2


def _unlike(pred: Tensor, target: Tensor, layer: int, config: PerceptualConfig) -> Tensor:
    if pred.shape != target.shape:
        message = f"features of layer {layer} are {list(pred.shape)} and {list(target.shape)}"
        raise RunError(
            problem("E781", message, hint="give both pictures to the same network, at the same size")
        )
    axis = 1 if pred.ndim == 4 else -1
    p, t = widened(pred), widened(target)
    if config.normalize:
        p, t = unit(p, axis), unit(t, axis)
    return mean_of((p - t).square().sum(axis))
