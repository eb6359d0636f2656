"""Group normalisation of an image whose rows are shared by ranks: statistics are merged, then applied in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmm_graph.parallel.exchange import SINGLE
from mmm_graph.parallel.refuse import refuse_gradients
from mmm_graph.parallel.rows import member_rows, need_whole_image

if TYPE_CHECKING:
    from mmm_graph.parallel.sharded import Sharded

Moments = Tensor
"""Mean and (biased) variance of each group: 2 b g, float32 or better."""


def group_norm(
    ex: Sharded, layer: str, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """Group normalisation with the statistics of the whole image: b c h w -> b c h w.

    Exact in every evaluation that is sync, and in a plan that is not displaced. Else `config.group_norm` says whose
    statistics: `sync`, of now; `stale`, own of now and the others' of the evaluation before; `corrected`, those of all
    at the evaluation before, plus the change of the own ones (negative variances: the own variance instead);
    `separate`, own. Where there was no evaluation before, own ones. x keeps its memory format.

    Raises:
        RunError: E721, the members together do not hold the image; E723, x is part of a graph of gradients.
    Source: DistriFusion, Li et al. 2024 (arXiv:2402.19481), eq. 2, but without the factor n / (n - 1) of
    its code: the variance of a group norm is biased.
    """
    at = ex.at
    if not at.spans:
        return SINGLE.group_norm(layer, x, num_groups, weight, bias, eps)
    need_whole_image(at, layer, "a group norm")
    if len(at.spans) == 1:
        return SINGLE.group_norm(layer, x, num_groups, weight, bias, eps)
    refuse_gradients(layer, x)
    rows = member_rows(at, layer, x.shape[2])
    weights = [count / sum(rows) for count in rows]
    mean, var = choose(ex, layer, group_moments(x, num_groups), weights)
    return scale_shift(x, mean, var, weight, bias, eps)


def choose(ex: Sharded, layer: str, own: Moments, weights: Sequence[float]) -> Moments:
    """Exchange the moments and make of them those to use, as the mode says."""
    at, mode = ex.at, ex.config.group_norm
    shapes = [own.shape] * len(weights)
    if not ex.config.displaced:
        return merge(ex.groups.tokens.gather(own, shapes).wait(), weights)
    if mode in ("sync", "separate"):
        is_own = mode == "separate" and not at.sync
        return own if is_own else merge(ex.groups.tokens.gather(own, shapes).wait(), weights)
    now = ex.groups.tokens.gather(own, shapes)
    before = ex.state.get(at, layer, "stats")
    ex.state.put(at, layer, "stats", now)
    if at.sync:
        return merge(now.wait(), weights)
    return own if before is None else MERGES[mode](before.wait(), own, at.member, weights)


def merge(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Moments of the union of parts that are these shares of it.

    Source: Chan, Golub and LeVeque 1979, eq. 2.1, divided by the count.
    """
    mean = weighted([part[0] for part in parts], weights)
    var = weighted([plus_square(part[1], part[0] - mean) for part in parts], weights)
    return torch.stack([mean, var])


def stale(before: Sequence[Moments], own: Moments, member: int, weights: Sequence[float]) -> Moments:
    """The own moments of now and the others' of the evaluation before."""
    return merge([own if m == member else part for m, part in enumerate(before)], weights)


def corrected(before: Sequence[Moments], own: Moments, member: int, weights: Sequence[float]) -> Moments:
    """Raw moments of all at the evaluation before, plus the change of the own ones: DistriFusion's eq. 2.

    In float64, where E[x^2] - E[x]^2 loses nothing that the parts had; where it is negative, the own variance.
    """
    all_before = merge([part.double() for part in before], weights)
    now = raw(all_before) + raw(own) - raw(before[member])
    var = now[1] - now[0].square()
    return torch.stack([now[0], torch.where(var < 0, own[1].double(), var)]).to(own.dtype)


MERGES = {"stale": stale, "corrected": corrected}


def raw(moments: Moments) -> Tensor:
    """E[x] and E[x^2], float64."""
    mean, var = moments.double()
    return torch.stack([mean, var + mean.square()])


def weighted(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of the parts, each times its weight, first to last."""
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total.add_(part, alpha=weight)
    return total


def plus_square(x: Tensor, y: Tensor) -> Tensor:
    """x + y^2."""
    return torch.addcmul(x, y, y)


def group_moments(x: Tensor, num_groups: int) -> Moments:
    """Moments of the groups of channels of x [b,c,h,w], merged from those of the channels."""
    mean, var = channel_moments(x if x.dtype == torch.float64 else x.float())
    means, variances = mean.view(len(x), num_groups, -1), var.view(len(x), num_groups, -1)
    part = 1 / means.shape[2]  # torch.mean takes three times as long for a few numbers
    mean = means.sum(2).mul_(part)
    return torch.stack([mean, plus_square(variances, means - mean[:, :, None]).sum(2).mul_(part)])


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel of x [b,c,h,w], each [b,c]; never as E[x^2] - E[x]^2.

    On a CPU torch.var_mean takes 15 to 25 times as long as what stands in for it here.
    """
    if x.device.type != "cpu":
        var, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        return mean, var
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        # What batch norm collects: two vectorised passes over channels that are innermost.
        pairs = [torch.batch_norm_update_stats(sample, None, None, 0.0) for sample in torch.split(x, 1)]
        return torch.stack([mean for mean, _ in pairs]), torch.stack([var for _, var in pairs])
    mean = x.mean((2, 3), keepdim=True)
    count = x.shape[2] * x.shape[3]
    spread = torch.linalg.vector_norm(x - mean, dim=(2, 3)).square_()
    return mean.flatten(1), spread.div_(count)


def scale_shift(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias as one x * scale + shift; mean and var [b,g]."""
    b, g = mean.shape
    scale = (var + eps).rsqrt_()[:, :, None] * weight.view(1, g, -1)  # b g c/g
    shift = torch.addcmul(bias.view(1, g, -1).to(scale.dtype), mean[:, :, None], scale, value=-1)
    scale, shift = scale.view(b, -1, 1, 1), shift.view(b, -1, 1, 1)
    if x.device.type == "cpu" and x.is_contiguous():
        # Channels outermost: torch's addcmul does not vectorise over two numbers that stand still.
        return (x * scale).add_(shift).to(x.dtype)
    return torch.addcmul(shift, x, scale).to(x.dtype)
