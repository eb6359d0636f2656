"""Cross entropy over a large vocabulary, some tokens at a time. Axes: n tokens, r chosen tokens, v vocabulary."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmm_losses.numbers import widened


class Settings(NamedTuple):
    """Of the cross entropy: see NextTokenConfig."""

    smoothing: float
    z_loss: float
    chunk: int


def chunked_cross_entropy(
    logits: Tensor, tokens: Tensor, labels: Tensor, weights: Tensor, settings: Settings
) -> tuple[Tensor, Tensor]:
    """sum over chosen tokens of weight * ((1-e) nll + e mean over words of -log p + z log(Z)^2).

    Of the logits only `chunk` rows are in float32 at a time; the gradient has their dtype. weights get none.

    Args:
        logits: [n,v].
        tokens: [r] rows of the logits that count, each at most once.
        labels: [r] words that are right there.
        weights: [r], at least float32.

    Returns:
        loss: []. right: [r] whether the likeliest word is the label.
    Source: Szegedy et al. 2016 (arXiv:1512.00567), section 7; z-loss: Chowdhery et al. 2022 (arXiv:2204.02311),
    section 5.
    """
    loss, right = _Chunked.apply(logits, tokens, labels, weights, settings)  # type: ignore[no-untyped-call]
    return loss, right


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, tokens: Tensor, labels: Tensor, weights: Tensor, settings: Settings
    ) -> tuple[Tensor, Tensor]:
        loss = weights.new_zeros(())
        logs, right = torch.empty_like(weights), torch.empty_like(labels, dtype=torch.bool)
        for start in range(0, len(tokens), settings.chunk):
            here = slice(start, start + settings.chunk)
            x, label = widened(logits[tokens[here]]), labels[here]
            log_z = x.logsumexp(-1)
            nll = log_z - x.gather(-1, label[:, None])[:, 0]
            if settings.smoothing:
                nll = torch.lerp(nll, log_z - x.mean(-1), settings.smoothing)
            loss += (weights[here] * (nll + settings.z_loss * log_z.square())).sum()
            logs[here], right[here] = log_z, x.argmax(-1) == label
        ctx.settings = settings
        ctx.save_for_backward(logits, tokens, labels, weights, logs)
        ctx.mark_non_differentiable(right)
        return loss, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        logits, tokens, labels, weights, logs = ctx.saved_tensors
        smoothing, z_loss, chunk = ctx.settings
        found = torch.zeros_like(logits)
        for start in range(0, len(tokens), chunk):
            here = slice(start, start + chunk)
            x, log_z = widened(logits[tokens[here]]), logs[here, None]
            chance = x.sub_(log_z).exp_()  # x is a copy: chosen rows always are
            chance.mul_(1 + 2 * z_loss * log_z).sub_(smoothing / x.shape[-1])
            chance.scatter_add_(-1, labels[here, None], torch.full_like(log_z, smoothing - 1))
            found[tokens[here]] = chance.mul_(weights[here, None] * grad).to(found.dtype)
        return found, None, None, None, None
