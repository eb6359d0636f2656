"""Models -> parameter groups -> optimiser; its state by parameter name, for checkpoints without pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import PARTS
from mmm_graph.config import Config
from mmm_graph.nn.chosen_rows import ChosenRows
from mmm_graph.nn.lora_factors import LoraFactors
from mmm_graph.registry.node_type import OptimType, resolve
from mmm_graph.train.cut import is_cut

Weights = Mapping[str, Mapping[str, nn.Parameter]]
"""Trainable weights by model and name."""


def build_optimiser(
    kind: OptimType, config: Config, models: Mapping[str, nn.Module], groups: Mapping[str, Mapping[str, Any]]
) -> torch.optim.Optimizer:
    """The optimiser over all trainable weights of `models`.

    The builder gets one group per model and role of weight, with keys `params`, `name` ("unet/matrix"),
    `role` (matrix, vector, scalar, embedding), and what `groups` says for that model, such as `lr`. So which weights
    decay is the optimiser's own choice. `initial_lr` is set on every group for the schedule.

    Args:
        groups: settings by model, and by `model.what` for some of its weights: `lora`, `rows`, or a part.
    """
    made = []
    for model, module in models.items():
        for (what, role), params in split_roles(module, named_whats(model, groups)).items():
            name = f"{model}.{what}" if what else model
            own = {**groups.get(model, {}), **(groups[name] if what else {})}
            made.append({"params": params, "name": f"{name}/{role}", "role": role, **own})
    optimiser: torch.optim.Optimizer = resolve(kind.builder)(made, config)
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


def named_whats(model: str, groups: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """What of a model has settings of its own."""
    return frozenset(key.removeprefix(f"{model}.") for key in groups if key.startswith(f"{model}."))


def split_roles(module: nn.Module, whats: Collection[str] = ()) -> dict[tuple[str, str], list[nn.Parameter]]:
    """Trainable weights by (what they are of, role).

    Roles are matrices (and kernels), vectors (biases, norms, gates), scalars (a temperature) and embeddings, which are
    the weights of nn.Embedding and weights whose own name says so (`pos_embed`, `position`).

    Args:
        whats: `lora`, `rows` and parts that are told apart; all other weights are of "".
    """
    roles: dict[tuple[str, str], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for path, owner in module.named_modules():
        for name, weight in owner.named_parameters(recurse=False):
            if weight.requires_grad and id(weight) not in seen:
                seen.add(id(weight))
                what = BESIDE.get(type(owner)) or path.removeprefix(PARTS).partition(".")[0]
                roles.setdefault((what if what in whats else "", _role(owner, name, weight)), []).append(
                    weight
                )
    return dict(sorted(roles.items()))


BESIDE: Mapping[type[nn.Module], str] = {LoraFactors: "lora", ChosenRows: "rows"}
"""What is trained beside the weights of a model, and its name among groups."""


def _role(owner: nn.Module, name: str, weight: Tensor) -> str:
    if isinstance(owner, nn.Embedding) or "embed" in name or name.startswith("pos"):
        return "embedding"
    return ("scalar", "vector", "matrix")[min(weight.ndim, 2)]


def set_lr(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its own learning rate times `factor`."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def optimiser_state(
    optimiser: torch.optim.Optimizer, weights: Weights
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's memory by `model/weight/key`: its tensors, and its plain numbers."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    names = _names(optimiser, weights)
    for index, own in optimiser.state_dict()["state"].items():
        for key, value in own.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{names[index]}/{key}"] = value
    return tensors, numbers


def load_optimiser_state(
    optimiser: torch.optim.Optimizer, weights: Weights, state: Mapping[str, Any]
) -> None:
    """Put what `optimiser_state` took out (tensors and numbers) into a fresh optimiser of the same kind.

    State of weights that another optimiser has is left to that one.
    """
    index = {name: i for i, name in enumerate(_names(optimiser, weights))}
    flat = [weight for group in optimiser.param_groups for weight in group["params"]]
    by_weight: dict[int, dict[str, Any]] = {}
    for name, value in state.items():
        path, _, key = name.rpartition("/")
        if path not in index:
            continue
        own = _laid_out(value, flat[index[path]]) if isinstance(value, Tensor) else value
        by_weight.setdefault(index[path], {})[key] = own
    fresh = optimiser.state_dict()
    optimiser.load_state_dict({"state": by_weight, "param_groups": fresh["param_groups"]})


def _laid_out(value: Tensor, weight: Tensor) -> Tensor:
    """A copy, since torch would take the tensor itself; in memory like its weight, which fused steps rely on."""
    if value.shape != weight.shape or is_cut(value):
        return value.clone()
    return torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _names(optimiser: torch.optim.Optimizer, weights: Weights) -> list[str]:
    """`model/weight` of each parameter in the order in which torch numbers them."""
    names = {id(weight): f"{model}/{name}" for model, own in weights.items() for name, weight in own.items()}
    return [names[id(weight)] for group in optimiser.param_groups for weight in group["params"]]
