"""The loss of denoisers."""

from __future__ import annotations

import math

from torch import Tensor

from mmm_losses.diffusion.config import DiffusionLossConfig
from mmm_losses.numbers import difference, mean_of


def diffusion(pred: Tensor, target: Tensor, config: DiffusionLossConfig, snr: Tensor | None = None) -> Tensor:
    """Mean squared error between prediction and target, each element weighted by its level.

    Args:
        pred, target: [b, ...] of one shape.
        snr: [b] alpha^2/sigma^2 of each element's level; needed by all weightings but none.

    Raises:
        ValueError: shapes differ, or what the weighting needs is missing.
    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 14; Hang et al. 2023 (arXiv:2303.09556), section 3.4; Esser et
    al. 2024 (arXiv:2403.03206), section 3.1 for flows.
    """
    error = difference(pred, target).square()
    if config.weighting == "none":
        return mean_of(error)
    if snr is None or (config.prediction is None and config.weighting == "min_snr"):
        raise ValueError(
            f"{config.weighting} needs the port snr (scheduler.add_noise offers it) and config prediction"
        )
    weight = level_weight(snr, config).to(error.dtype)
    return mean_of(error * weight.view(-1, *[1] * (error.ndim - 1)))


def level_weight(snr: Tensor, config: DiffusionLossConfig) -> Tensor:
    """Weight of the error at levels [b]."""
    if config.weighting == "min_snr":
        return min_snr_weight(snr, config.gamma, str(config.prediction))
    return flow_weight(1 / (1 + snr.sqrt()), config.weighting)


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


def flow_weight(sigma: Tensor, weighting: str) -> Tensor:
    """Weight of the error of a velocity at levels sigma [b] in (0, 1].

    Source: Esser et al. 2024 (arXiv:2403.03206), section 3.1 (CosMap); sigma_sqrt as in its published trainers.
    """
    if weighting == "sigma_sqrt":
        return sigma**-2
    return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))
