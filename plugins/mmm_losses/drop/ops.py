"""Conditions taken away from a share of the elements."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmm_graph.nn.noise import Noise
from mmm_losses.drop.config import DropConfig, IdsDropConfig


def drop_text(text: Sequence[str], config: DropConfig, noise: Noise) -> list[str]:
    """Each text, or "" with probability p. Source: Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1."""
    dropped = noise.uniform(name="drop") < config.p
    return ["" if gone else words for words, gone in zip(text, dropped.tolist(), strict=True)]


def drop_ids(ids: Tensor, config: IdsDropConfig, noise: Noise) -> Tensor:
    """All ids of an element replaced by `value` with probability p: ids [b, ...]."""
    dropped = noise.uniform(device=ids.device, name="drop") < config.p
    return ids.masked_fill(dropped.view(-1, *[1] * (ids.ndim - 1)), config.value)
