"""Losses and the random ops of training. A loss over no elements is 0 and still has a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.nn.noise import Noise
from mmm_losses.config import (
    CrossEntropyConfig,
    DiffusionLossConfig,
    DropConfig,
    ErrorConfig,
    IdsDropConfig,
    KLConfig,
)


def diffusion(pred: Tensor, target: Tensor, config: DiffusionLossConfig, snr: Tensor | None = None) -> Tensor:
    """Mean squared error between prediction and target, each element weighted by its level.

    Args:
        pred, target: [b, ...] of one shape.
        snr: [b] alpha^2/sigma^2 of each element's level; needed by min_snr.

    Raises:
        ValueError: shapes differ, or min_snr without snr.
    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 14; Hang et al. 2023 (arXiv:2303.09556), section 3.4.
    """
    error = _same(pred, target).square()
    if config.weighting == "none":
        return _mean(error)
    if snr is None or config.prediction is None:
        raise ValueError("min_snr needs the port snr (scheduler.add_noise offers it) and config prediction")
    weight = min_snr_weight(snr, config.gamma, config.prediction)
    return _mean(error * weight.to(error.dtype).view(-1, *[1] * (error.ndim - 1)))


def min_snr_weight(snr: Tensor, gamma: float, prediction: str) -> Tensor:
    """min(snr, gamma) as a weight of the error in x0, expressed for the error of the prediction, [b].

    An error in epsilon is 1/snr of one in x0, in v 1/(snr + 1), in a flow's velocity 1/(sqrt(snr) + 1)^2.

    Source: Hang et al. 2023 (arXiv:2303.09556), eq. 9 and its table for other predictions.
    """
    if prediction == "epsilon":
        return (gamma / snr).clamp(max=1.0)  # min(snr, gamma) / snr, without 0/0 where no signal is left
    weight = snr.clamp(max=gamma)
    if prediction == "v":
        return weight / (snr + 1)
    return weight / (snr.sqrt() + 1) ** 2 if prediction == "flow" else weight


def mse(pred: Tensor, target: Tensor, config: ErrorConfig) -> Tensor:
    """Squared error."""
    return _reduce(_same(pred, target).square(), config.reduction)


def l1(pred: Tensor, target: Tensor, config: ErrorConfig) -> Tensor:
    """Absolute error."""
    return _reduce(_same(pred, target).abs(), config.reduction)


def kl(mean: Tensor, logvar: Tensor, config: KLConfig) -> Tensor:
    """Divergence of N(mean, exp(logvar)) from the standard normal.

    Source: Kingma & Welling 2013 (arXiv:1312.6114), appendix B.
    """
    mean, logvar = mean.float(), logvar.float()
    return _reduce((mean.square() + logvar.exp() - 1 - logvar) / 2, config.reduction)


def cross_entropy(logits: Tensor, labels: Tensor, config: CrossEntropyConfig) -> Tensor:
    """Mean negative log likelihood of the labels.

    Args:
        logits: [b, ..., v].
        labels: [b, ...] ids.
    """
    flat = logits.float().flatten(0, -2)
    wanted = labels.flatten()
    total = F.cross_entropy(
        flat, wanted, ignore_index=config.ignore, label_smoothing=config.smoothing, reduction="sum"
    )
    return total / (wanted != config.ignore).sum().clamp(min=1)


def drop_text(text: Sequence[str], config: DropConfig, noise: Noise) -> list[str]:
    """Each text, or "" with probability p. Source: Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1."""
    dropped = noise.uniform(name="drop") < config.p
    return ["" if gone else words for words, gone in zip(text, dropped.tolist(), strict=True)]


def drop_ids(ids: Tensor, config: IdsDropConfig, noise: Noise) -> Tensor:
    """All ids of an element replaced by `value` with probability p: ids [b, ...]."""
    dropped = noise.uniform(device=ids.device, name="drop") < config.p
    return ids.masked_fill(dropped.view(-1, *[1] * (ids.ndim - 1)), config.value)


def sample_latents(mean: Tensor, logvar: Tensor, noise: Noise) -> Tensor:
    """A draw from N(mean, exp(logvar)). Source: Kingma & Welling 2013 (arXiv:1312.6114), section 2.4."""
    return mean + torch.exp(logvar / 2) * noise.normal(mean.shape[1:], dtype=mean.dtype, device=mean.device)


def _same(pred: Tensor, target: Tensor) -> Tensor:
    """pred - target, at least float32."""
    if pred.shape != target.shape:
        raise ValueError(f"prediction {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape")
    dtype = torch.promote_types(pred.dtype, torch.float32)
    return pred.to(dtype) - target.to(dtype)


def _reduce(values: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return _mean(values)
    return values.sum() / max(1, len(values))


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(1, values.numel())
