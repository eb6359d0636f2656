"""Parameter groups and a config -> torch optimisers, in the fastest form that the device has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmm_optim.config import AdamConfig, AdamWConfig, SgdConfig

Groups = Sequence[dict[str, Any]]
_FUSED = frozenset({"cpu", "cuda", "xpu", "mps"})


def adamw(groups: Groups, config: AdamWConfig) -> torch.optim.Optimizer:
    """Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2."""
    made = _with_decay(groups, config.decay)
    return torch.optim.AdamW(
        made, config.lr, config.betas, config.eps, config.weight_decay, fused=_can_fuse(groups)
    )


def adam(groups: Groups, config: AdamConfig) -> torch.optim.Optimizer:
    """Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1."""
    made = _with_decay(groups, config.decay)
    return torch.optim.Adam(
        made, config.lr, config.betas, config.eps, config.weight_decay, fused=_can_fuse(groups)
    )


def sgd(groups: Groups, config: SgdConfig) -> torch.optim.Optimizer:
    """Stochastic gradient descent; momentum as in torch.optim.SGD without dampening.

    Raises:
        ValueError: nesterov without momentum.
    """
    return torch.optim.SGD(
        _with_decay(groups, config.decay),
        config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=_can_fuse(groups),
    )


def _with_decay(groups: Groups, decay: str) -> list[dict[str, Any]]:
    """Weight decay 0 for the groups that do not decay, unless the group itself says how much."""
    spared = {} if decay == "all" else {"weight_decay": 0.0}
    return [group if group.get("role") == "matrix" else {**spared, **group} for group in groups]


def _can_fuse(groups: Groups) -> bool:
    """One kernel a step: for floating-point weights on a device that has it."""
    return all(w.is_floating_point() and w.device.type in _FUSED for group in groups for w in group["params"])
