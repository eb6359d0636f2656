"""The norm of all gradients, and their clipping; sharded and whole ones together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from mmm_graph.train.cut import is_cut, whole


def clip_gradients(params: Sequence[nn.Parameter], limit: float | None) -> Tensor:
    """The norm before clipping. A fused call for each sort of gradient, no wait for the device.

    Args:
        limit: gradients of a larger norm are scaled down to it; None = none are.
    """
    sorts = [[p for p in params if is_cut(p) == sharded] for sharded in (False, True)]
    sorts = [sort for sort in sorts if any(p.grad is not None for p in sort)]
    norms = [whole(get_total_norm([p.grad for p in sort if p.grad is not None])) for sort in sorts]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm() if norms else torch.zeros(())
    if limit is not None:
        for sort in sorts:
            clip_grads_with_norm_(sort, limit, norm)
    return norm
