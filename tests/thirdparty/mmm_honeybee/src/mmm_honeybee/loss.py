"""Losses."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_honeybee.config import PseudoHuberConfig


def pseudo_huber(pred: Tensor, target: Tensor, config: PseudoHuberConfig) -> Tensor:
    """Mean of sqrt(d^2 + c^2) - c over all values.

    Source: Song and Dhariwal 2023 (arXiv:2310.14189), section 3.3.
    """
    return (torch.sqrt((pred - target).square() + config.c**2) - config.c).mean()
