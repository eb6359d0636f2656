"""Losses between a prediction and its target. A loss over no elements is 0 and still has a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_losses.distance.config import AlignConfig, CrossEntropyConfig, ErrorConfig
from mmm_losses.numbers import difference, in_full_precision, length_of, mean_of, unit, widened


def mse(pred: Tensor, target: Tensor, config: ErrorConfig) -> Tensor:
    """Squared error."""
    return reduced(difference(pred, target).square(), config.reduction)


def l1(pred: Tensor, target: Tensor, config: ErrorConfig) -> Tensor:
    """Absolute error."""
    return reduced(difference(pred, target).abs(), config.reduction)


def reduced(values: Tensor, reduction: str) -> Tensor:
    """The mean, or the sum over each element's values and mean over elements."""
    if reduction == "mean":
        return mean_of(values)
    return values.sum() / max(1, len(values))


@in_full_precision
def align(pred: Tensor, target: Tensor, config: AlignConfig, mask: Tensor | None = None) -> Tensor:
    """Mean distance of vectors from those that they should become.

    Args:
        pred, target: [b,d] or [b,l,d]; vector by vector.
        mask: [b] or [b,l], true where a vector counts.

    Raises:
        RunError: E778, not as many vectors, or not as wide; the mask is for another number of vectors.
    Source: Wu et al. 2024 (arXiv:2309.05519), section 4 (l2, between signal tokens and the states of a text encoder).
    """
    _check_align(pred, target, mask)
    each = _apart(widened(pred), widened(target), config)
    if mask is None:
        return mean_of(each)
    wanted = mask.to(each.device, torch.bool)
    return each.masked_fill(~wanted, 0.0).sum() / wanted.sum().clamp(min=1)


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


def count_labels(labels: Tensor, config: CrossEntropyConfig) -> Tensor:
    """Over how many labels `cross_entropy` is a mean."""
    return (labels != config.ignore).sum()


def count_vectors(mask: Tensor | None = None) -> Tensor | float:
    """Over how many vectors `align` is a mean; without a mask, as many in every micro-batch."""
    return 1.0 if mask is None else mask.sum()


def _apart(pred: Tensor, target: Tensor, config: AlignConfig) -> Tensor:
    """One number for each vector; at distance 0, and for a cosine at a zero vector, its gradient is 0."""
    if config.distance == "cosine":
        return 1 - (unit(pred) * unit(target)).sum(-1)
    if config.distance == "smooth_l1":
        return F.smooth_l1_loss(pred, target, reduction="none", beta=config.beta).mean(-1)
    gap = pred - target
    return length_of(gap) if config.distance == "l2" else gap.square().mean(-1)


def _check_align(pred: Tensor, target: Tensor, mask: Tensor | None) -> None:
    if pred.shape != target.shape:
        found = f"pred is {list(pred.shape)} and target {list(target.shape)}"
        hint = "an output projector must make as many vectors, as wide, as the encoder of the target"
        raise RunError(problem("E778", f"{found}: vectors cannot be compared one by one", hint=hint))
    if mask is not None and mask.shape != pred.shape[:-1]:
        message = f"mask is {list(mask.shape)} and pred {list(pred.shape)}: not one place for each vector"
        raise RunError(problem("E778", message, hint="link the mask of the target"))
