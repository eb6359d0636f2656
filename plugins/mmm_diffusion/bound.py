"""What teaches a denoiser its variance: the variational bound of one step."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mmm_diffusion.scheduler import VarianceLaw
from mmm_graph.nn.sampler import to_x0

BIN = 1 / 255
"""Half the width of one of 256 levels in [-1, 1]."""
EDGE = 0.999
"""Beyond it a bin has no other end."""


class Step(NamedTuple):
    """A step from each time to the one before it.

    Its mean is keep x0 + back x; low and high are the logarithms of beta~ and beta.
    """

    alpha: Tensor
    sigma: Tensor
    keep: Tensor
    back: Tensor
    low: Tensor
    high: Tensor


def variance_loss(
    x0: Tensor, x: Tensor, t: Tensor, pred: Tensor, variance: Tensor, scheduler: VarianceLaw
) -> Tensor:
    """Mean over values of the divergence of the denoiser's step from the true one, in bits.

    The step is normal with variance exp(v log beta + (1 - v) log beta~), v = (variance + 1) / 2; its mean follows from
    pred, which gets no gradient. At time 0 it is the negative log likelihood of x0 in 256 bins over [-1, 1].

    Args:
        x0, x: clean and noisy latents [b, ...].
        t: [b] whole times.
        pred, variance: what the denoiser says about x.

    Source: Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 15 and section 3.1; Ho et al. 2020 (arXiv:2006.11239), eq. 5,
    7 and 13.
    """
    x0, x, pred, variance = (
        v.to(torch.promote_types(v.dtype, torch.float32)) for v in (x0, x, pred, variance)
    )
    whole = t.round().long()
    step = Step(
        *(table.to(x.device, x.dtype)[whole].view(-1, *[1] * (x.ndim - 1)) for table in steps(scheduler))
    )
    guess = to_x0(pred.detach(), x, step.alpha, step.sigma, scheduler.config.prediction)
    spread = torch.lerp(step.low, step.high, (variance + 1) / 2)
    said = step.keep * guess + step.back * x
    far = (step.keep * (x0 - guess)).square() / spread.exp()
    divergence = ((step.low - spread).exp() + far - 1 + spread - step.low) / 2
    first = (whole == 0).view(-1, *[1] * (x.ndim - 1))
    return torch.where(first, surprise(x0, said, spread), divergence).mean() / math.log(2)


def steps(scheduler: VarianceLaw) -> Step:
    """The steps from all times [n], float64; beta~ of time 0, which is 0, is that of time 1."""
    bar = scheduler.alpha_bar
    before = torch.cat([torch.ones(1, dtype=bar.dtype), bar[:-1]])
    beta = 1 - bar / before
    small = beta * (1 - before) / (1 - bar)
    small = torch.cat([small[1:2] if len(bar) > 1 else beta[:1], small[1:]])
    keep, back = beta * before.sqrt() / (1 - bar), (1 - before) * (bar / before).sqrt() / (1 - bar)
    return Step(bar.sqrt(), (1 - bar).sqrt(), keep, back, small.log(), beta.log())


def surprise(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the chance that a normal draw falls into the bin of x, in nats. Source: Ho et al. 2020, eq. 13."""
    width = (log_variance / 2).exp()
    above, below = ((x + side - mean) / width for side in (BIN, -BIN))
    inside = (torch.special.ndtr(above) - torch.special.ndtr(below)).clamp(min=1e-12).log()
    edge = torch.where(x > EDGE, torch.special.log_ndtr(-below), inside)
    return -torch.where(x < -EDGE, torch.special.log_ndtr(above), edge)
