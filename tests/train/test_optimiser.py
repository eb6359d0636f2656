"""Groups by role, what decays, and state that survives a fresh optimiser."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from mmm_graph.config import Config
from mmm_graph.registry import OptimType
from mmm_graph.train.optimiser import (
    build_optimiser,
    load_optimiser_state,
    optimiser_state,
    set_lr,
    split_roles,
)
from mmm_optim.config import SgdConfig
from mmm_optim.plugin import mmm_register_nodes

KINDS = {kind.kind: kind for kind in mmm_register_nodes() if isinstance(kind, OptimType)}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 3)
        self.pos_embed = nn.Parameter(torch.zeros(1, 2, 3))
        self.norm = nn.LayerNorm(3)
        self.out = nn.Linear(3, 2)
        self.tied = self.out

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.out(self.norm(self.words(ids) + self.pos_embed))
        return hidden


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def make(model: nn.Module, kind: str = "optim.adamw", **config: object) -> torch.optim.Optimizer:
    made: Config = KINDS[kind].config.model_validate(config)
    return build_optimiser(KINDS[kind], made, {"net": model}, {})


def train(model: Net, optimiser: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        set_lr(optimiser, 1 / (step + 1))
        model(torch.tensor([[0, 1], [2, 3]])).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()


def test_roles_cover_every_trainable_weight_once() -> None:
    model = net()
    model.norm.bias.requires_grad_(False)
    roles = split_roles(model)
    found = {role: {id(w) for w in weights} for (what, role), weights in roles.items() if what == ""}
    assert found["embedding"] == {id(model.words.weight), id(model.pos_embed)}
    assert found["matrix"] == {id(model.out.weight)}
    assert found["vector"] == {id(model.norm.weight), id(model.out.bias)}


def test_a_model_can_have_its_own_learning_rate_under_the_schedule() -> None:
    kind = KINDS["optim.sgd"]
    optimiser = build_optimiser(kind, SgdConfig(lr=1.0), {"a": net(), "b": net()}, {"b": {"lr": 0.1}})
    set_lr(optimiser, 0.5)
    assert {g["name"].partition("/")[0]: g["lr"] for g in optimiser.param_groups} == {"a": 0.5, "b": 0.05}


def test_parts_are_told_apart_where_they_have_settings_of_their_own() -> None:
    kind = KINDS["optim.sgd"]
    groups = {"net": {"lr": 0.1}, "net.out": {"lr": 0.5, "weight_decay": 0.2}}
    made = build_optimiser(kind, SgdConfig(lr=1.0), {"net": net()}, groups).param_groups
    assert {g["name"]: (g["lr"], g["weight_decay"]) for g in made} == {
        "net/embedding": (0.1, 0.0),
        "net/vector": (0.1, 0.0),
        "net.out/matrix": (0.5, 0.2),
        "net.out/vector": (0.5, 0.2),
    }


def test_state_goes_into_a_fresh_optimiser_bit_for_bit() -> None:
    for kind, config in (("optim.adamw", {}), ("optim.adam", {}), ("optim.sgd", {"momentum": 0.9})):
        first = net()
        optimiser = make(first, kind, **config)
        train(first, optimiser, 3)
        tensors, numbers = optimiser_state(optimiser, {"net": dict(first.named_parameters())})

        second = net(1)
        second.load_state_dict(first.state_dict())
        resumed = make(second, kind, **config)
        load_optimiser_state(resumed, {"net": dict(second.named_parameters())}, {**tensors, **numbers})
        train(first, optimiser, 2)
        train(second, resumed, 2)
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b), kind


def test_state_of_kernels_lies_in_memory_as_they_do() -> None:
    """A fused step goes through memory, and files keep no order; torch itself would mix the numbers up."""
    for kind, config in (("optim.adamw", {}), ("optim.sgd", {"momentum": 0.9})):
        torch.manual_seed(0)
        first = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = make(first, kind, **config)
        images = torch.randn(2, 3, 5, 5)
        convolve(first, optimiser, images)
        tensors, numbers = optimiser_state(optimiser, {"net": dict(first.named_parameters())})
        second = deepcopy(first)
        resumed = make(second, kind, **config)
        state = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        load_optimiser_state(resumed, {"net": dict(second.named_parameters())}, {**state, **numbers})
        convolve(first, optimiser, images)
        convolve(second, resumed, images)
        assert torch.equal(first.weight, second.weight), kind


def convolve(model: nn.Conv2d, optimiser: torch.optim.Optimizer, images: torch.Tensor) -> None:
    model(images).square().sum().backward()
    optimiser.step()
    optimiser.zero_grad()
