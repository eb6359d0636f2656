"""Scores, texts and vectors -> whether they are right. Axes: b queries, v classes or keys, d width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_data.metrics.config import RecallConfig
from mmm_graph.errors import RunError, problem


def accuracy(logits: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Mean [] and correct [b] of the classes with the highest score, which are `predicted` [b]."""
    predicted = logits.argmax(-1)
    return {**_counted(predicted == label), "predicted": predicted}


def exact_match(text: Sequence[str], target: Sequence[str]) -> dict[str, Tensor]:
    """Mean [] and correct [b]: the same words in the same order."""
    pairs = zip(text, target, strict=True)
    return _counted(torch.tensor([words(one) == words(other) for one, other in pairs], dtype=torch.bool))


def recall_at_k(
    query: Tensor,
    keys: Tensor,
    config: RecallConfig,
    query_id: Tensor | None = None,
    key_id: Tensor | None = None,
) -> dict[str, Tensor]:
    """Mean [] and correct [b]: whether one of the k keys with the highest cosine has the query's id.

    Args:
        query: [b,d].
        keys: [v,d].
        query_id, key_id: [b] and [v]; equal ids belong together. Without them query i belongs to key i.

    Raises:
        RunError: E821, ids of one side only, or no ids and another number of keys than of queries.
    Source: Karpathy and Fei-Fei 2014 (arXiv:1412.2306), section 4.1.
    """
    if (query_id is None) != (key_id is None) or (query_id is None and len(query) != len(keys)):
        message = f"{len(query)} queries and {len(keys)} keys, of which one belongs to another by no rule"
        raise RunError(problem("E821", message, hint="link both query_id and key_id"))
    own = torch.arange(len(query), device=query.device)
    wanted, offered = (own, own) if query_id is None or key_id is None else (query_id, key_id)
    cosines = F.normalize(query, dim=-1) @ F.normalize(keys, dim=-1).mT
    best = cosines.topk(min(config.k, len(keys)), dim=-1).indices
    return _counted((offered[best] == wanted[:, None]).any(-1))


def words(text: str) -> list[str]:
    """What of a text is compared."""
    return text.casefold().split()


def _counted(correct: Tensor) -> dict[str, Tensor]:
    return {"mean": correct.float().mean(), "correct": correct}
