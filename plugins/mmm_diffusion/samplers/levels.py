"""Levels as the step rules see them: from one to another, in units of the signal, as log(alpha/sigma)."""

from __future__ import annotations

import math

from torch import Tensor

from mmm_graph.nn.sampler import Times


def renoise(
    x: Tensor, x0: Tensor, times: Times, start: int, end: int, eta: float = 0.0, noise: Tensor | None = None
) -> Tensor:
    """x of level `start` -> `end`: x0 and the noise it implies, at the new level, a share of it drawn anew.

    Args:
        eta: 0 keeps the implied noise, 1 renews as much as the forward process would have added.
        noise: standard normal of x's shape; may be None for eta 0.
    """
    alpha, sigma = times.level(start)
    alpha2, _ = times.level(end)
    kept, fresh = shares(times, start, end, eta)
    out = (alpha2 - kept * alpha / sigma) * x0 + (kept / sigma) * x
    if eta == 0.0:
        return out
    assert noise is not None
    return out + fresh * noise


def shares(times: Times, start: int, end: int, eta: float) -> tuple[float, float]:
    """Of the noise at level `end`: what is kept from level `start`, and what is drawn anew."""
    (alpha, sigma), (alpha2, sigma2) = times.level(start), times.level(end)
    fresh = eta * sigma2 * math.sqrt(max(0.0, 1 - (alpha * sigma2 / (alpha2 * sigma)) ** 2))
    return math.sqrt(sigma2**2 - fresh**2), fresh


def noise_in(x: Tensor, x0: Tensor, times: Times, k: int) -> Tensor:
    """The noise that x at level k holds, if x0 is what it hides."""
    alpha, sigma = times.level(k)
    return (x - alpha * x0) / sigma


def unit(times: Times, k: int) -> float:
    """What x is measured in at level k: alpha for a variance-preserving law, 1 for a flow."""
    return 1.0 if times.prediction == "flow" else times.level(k)[0]


def position(times: Times, k: int) -> float:
    """sigma in that unit."""
    return times.level(k)[1] / unit(times, k)


def log_snr(times: Times, k: int) -> float:
    """lambda = log(alpha/sigma) of level k."""
    alpha, sigma = times.level(k)
    if alpha == 0.0:
        return -math.inf
    return math.inf if sigma == 0.0 else math.log(alpha) - math.log(sigma)
