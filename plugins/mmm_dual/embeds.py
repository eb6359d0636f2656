"""Vectors of pictures and texts compared. Axes: b queries, v labels or keys, r prompts or finds, d width."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_dual.config import TopConfig
from mmm_graph.errors import RunError, problem


def normalize(embeds: Tensor) -> Tensor:
    """[b,d] or [b,l,d], each vector of length 1."""
    return F.normalize(embeds, dim=-1)


def mean_groups(embeds: Tensor, groups: Tensor) -> Tensor:
    """One vector [v,d] for each group: the mean of its vectors [r,d], all of length 1 before and after.

    Args:
        groups: [r], the group of each vector, 0 to v-1.

    Raises:
        RunError: E746, a group without vectors.
    Source: Radford et al. 2021 (arXiv:2103.00020), section 3.1.4: prompts are averaged as vectors.
    """
    groups = groups.to(embeds.device)
    sizes = torch.bincount(groups)
    if not bool(sizes.all()):
        empty = int(sizes.argmin())
        message = f"group {empty} of {len(sizes)} has no vector: a mean of nothing"
        raise RunError(problem("E746", message, hint="number groups from 0 on, without gaps"))
    sums = embeds.new_zeros(len(sizes), embeds.shape[-1]).index_add(0, groups, normalize(embeds))
    return normalize(sums / sizes[:, None])


def cosine_logits(
    query: Tensor, keys: Tensor, scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """scale * cos(query, keys) + bias, [b,v].

    Source: Radford et al. 2021 (arXiv:2103.00020), figure 3; Zhai et al. 2023 (arXiv:2303.15343), algorithm 1.
    """
    cosines = normalize(query) @ normalize(keys).mT
    scaled = cosines if scale is None else cosines * scale
    return scaled if bias is None else scaled + bias


def top_k(query: Tensor, keys: Tensor, config: TopConfig) -> dict[str, Tensor]:
    """The keys nearest to each query, the best one first: their numbers [b,r] and cosines [b,r]."""
    cosines = cosine_logits(query, keys)
    best = cosines.topk(min(config.top, len(keys)), dim=-1)
    return {"indices": best.indices, "scores": best.values}
