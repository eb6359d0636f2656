"""Optimisers of torch by config: what decays, and the same steps as torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmm_optim.config import AdamConfig, AdamWConfig, SgdConfig
from mmm_optim.optimiser import adam, adamw, sgd


def groups(model: nn.Linear, **more: Any) -> list[dict[str, Any]]:
    return [
        {"params": [model.weight], "role": "matrix", **more},
        {"params": [model.bias], "role": "vector", **more},
    ]


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


@pytest.mark.parametrize(("make", "config"), [(adam, AdamConfig), (adamw, AdamWConfig), (sgd, SgdConfig)])
def test_only_matrices_decay_unless_all_are_asked_for(make: Any, config: Any) -> None:
    decays = [g["weight_decay"] for g in make(groups(linear()), config(weight_decay=0.3)).param_groups]
    assert decays == [0.3, 0.0]
    decays = [
        g["weight_decay"] for g in make(groups(linear()), config(weight_decay=0.3, decay="all")).param_groups
    ]
    assert decays == [0.3, 0.3]


def test_a_group_that_says_its_own_decay_keeps_it() -> None:
    made = adamw(groups(linear(), weight_decay=0.2), AdamWConfig(weight_decay=0.3))
    assert [g["weight_decay"] for g in made.param_groups] == [0.2, 0.2]


@pytest.mark.parametrize(
    ("make", "config", "theirs"),
    [
        (adamw, AdamWConfig(decay="all"), lambda p: torch.optim.AdamW(p)),
        (adam, AdamConfig(lr=0.1, betas=(0.5, 0.6)), lambda p: torch.optim.Adam(p, 0.1, (0.5, 0.6))),
        (sgd, SgdConfig(momentum=0.9, nesterov=True), lambda p: torch.optim.SGD(p, 1e-2, 0.9, nesterov=True)),
    ],
)
def test_steps_are_those_of_torch(make: Any, config: Any, theirs: Any) -> None:
    ours, other = linear(), linear()
    for model, optimiser in ((ours, make(groups(ours), config)), (other, theirs(other.parameters()))):
        for _ in range(4):
            model(torch.ones(1, 3)).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    torch.testing.assert_close(ours.weight, other.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours.bias, other.bias, rtol=1e-6, atol=1e-7)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="Nesterov"):
        sgd(groups(linear()), SgdConfig(nesterov=True))
