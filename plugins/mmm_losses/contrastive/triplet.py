"""Triplets, given and mined. Axes: b anchors, c candidates, d width."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_losses.contrastive.config import MinedTripletConfig, TripletConfig
from mmm_losses.numbers import in_full_precision, length_of, mean_of, unit, widened


@in_full_precision
def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, config: TripletConfig) -> dict[str, Tensor]:
    """Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        anchor, positive, negative: [b,d], triplet by triplet.

    Returns:
        loss; active: share of triplets that have a loss.
    Source: Schroff et al. 2015 (arXiv:1503.03832), section 3.1; soft: Hermans et al. 2017 (arXiv:1703.07737), section
    2.
    """
    a, p, n = (_vectors(x, config) for x in (anchor, positive, negative))
    found = _summed(_hinge(_apart(a, p, config), _apart(a, n, config), config), active_only=False)
    return {"loss": found["loss"], "active": found["active"]}


@in_full_precision
def triplet_mined(
    anchor: Tensor,
    config: MinedTripletConfig,
    other: Tensor | None = None,
    labels: Tensor | None = None,
    other_labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Triplets that are found in the batch: positives have the anchor's label, negatives another one.

    Args:
        anchor: [b,d].
        other: [b,d] candidates, such as texts; None: the anchors are each other's candidates.
        labels: [b] of the anchors; None: row i of both sides belongs together and nothing else does.
        other_labels: [b] of the candidates; None: those of the anchors.

    Returns:
        loss: 0 where there is no triplet; active: share of triplets that have a loss; triplets: how many were found.
    Source: hard and all: Hermans et al. 2017 (arXiv:1703.07737), section 2; hard for two modalities: Faghri et al. 2018
    (arXiv:1707.05612), the maximum of hinges; semi_hard: Schroff et al. 2015 (arXiv:1503.03832), section 3.2.
    """
    own = torch.arange(len(anchor), device=anchor.device) if labels is None else labels.to(anchor.device)
    if other is None:
        found = _mine(anchor, anchor, own[:, None] == own[None], config, alone=True)
        return _summed(found, active_only=config.active_only)
    theirs = own if other_labels is None else other_labels.to(anchor.device)
    same = own[:, None] == theirs[None]
    found = _mine(anchor, other, same, config)
    first = _summed(found, active_only=config.active_only)
    if not config.both:
        return first
    second = _summed(_mine(other, anchor, same.mT, config), active_only=config.active_only)
    return {
        "loss": (first["loss"] + second["loss"]) / 2,
        "active": (first["active"] + second["active"]) / 2,
        "triplets": first["triplets"] + second["triplets"],
    }


def _mine(
    anchor: Tensor, other: Tensor, same: Tensor, config: MinedTripletConfig, alone: bool = False
) -> Tensor:
    """The loss of every triplet that is chosen."""
    distance = _apart_all(_vectors(anchor, config), _vectors(other, config), config)
    positive, negative = same, ~same
    if alone:
        positive = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    if config.mining == "all":
        wanted = positive[:, :, None] & negative[:, None]
        return _hinge(distance[:, :, None], distance[:, None], config)[wanted]
    if config.mining == "semi_hard":
        row, column = (positive & negative.any(1, keepdim=True)).nonzero(as_tuple=True)
        partner = _beyond(distance.detach(), negative)[row, column]
        return _hinge(distance[row, column], distance[row, partner], config)
    rows = (positive.any(1) & negative.any(1)).nonzero()[:, 0]
    seen = distance.detach()
    far = seen.masked_fill(~positive, -torch.inf).argmax(1)[rows] if seen.numel() else rows
    near = seen.masked_fill(~negative, torch.inf).argmin(1)[rows] if seen.numel() else rows
    return _hinge(distance[rows, far], distance[rows, near], config)


def _beyond(distance: Tensor, negative: Tensor) -> Tensor:
    """For each place [b,c] the column of the nearest negative that is farther, or else of the farthest negative."""
    ordered, columns = distance.masked_fill(~negative, torch.inf).sort(1)
    first = torch.searchsorted(ordered, distance.contiguous(), right=True)
    last = (negative.sum(1, keepdim=True) - 1).clamp(min=0)
    return columns.gather(1, torch.minimum(first, last))


def _hinge(near: Tensor, far: Tensor, config: TripletConfig) -> Tensor:
    return F.softplus(near - far) if config.soft else (near - far + config.margin).clamp(min=0)


def _summed(terms: Tensor, *, active_only: bool) -> dict[str, Tensor]:
    active = (terms > 0).sum()
    count = terms.new_tensor(terms.numel())
    loss = terms.sum() / active.clamp(min=1) if active_only else mean_of(terms)
    return {"loss": loss, "active": active / count.clamp(min=1), "triplets": count}


def _vectors(x: Tensor, config: TripletConfig) -> Tensor:
    return unit(widened(x)) if config.normalize or config.distance == "cosine" else widened(x)


def _apart(x: Tensor, y: Tensor, config: TripletConfig) -> Tensor:
    """Distances row by row [b]; at 0 the gradient of the euclidean one is 0."""
    if config.distance == "cosine":
        return 1 - (x * y).sum(-1)
    return length_of(x - y) if config.distance == "euclidean" else (x - y).square().sum(-1)


def _apart_all(x: Tensor, y: Tensor, config: TripletConfig) -> Tensor:
    """Distances [b,c]. By products |x|^2 + |y|^2 - 2xy, near vectors would have no distance left."""
    if config.distance == "cosine":
        return 1 - x @ y.mT
    found = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return found if config.distance == "euclidean" else found.square()
