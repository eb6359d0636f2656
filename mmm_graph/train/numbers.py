"""What a stage trains, in numbers: weights by part, and what the optimiser keeps beside them; nothing is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import saved_names
from mmm_graph.registry import resolve
from mmm_graph.train.grow import full_name
from mmm_graph.train.layers import part_of
from mmm_graph.train.learns import Learns
from mmm_graph.train.optimiser import split_roles
from mmm_graph.train.reach import WHOLE
from mmm_graph.train.stage import Stage

Roles = Mapping[str, list[nn.Parameter]]


@dataclass(frozen=True)
class Trained:
    """The trained weights of a model, on the meta device.

    Attributes:
        total: numbers of the whole model, without what training adds.
        parts: numbers that are trained, by part (WHOLE for a model in one piece or weights of no part).
        sizes: numbers of each part.
        roles: them all as the optimiser will get them.
    """

    total: int
    parts: Mapping[str, int]
    sizes: Mapping[str, int]
    roles: Roles

    def share(self, part: str) -> float:
        """Share of a part's weights that is trained."""
        found = self.parts.get(part, self.parts.get(WHOLE, 0) if part not in self.sizes else 0)
        return min(1.0, found / max(1, self.sizes.get(part, self.total)))


def count_trained(module: nn.Module, learns: Learns | None) -> Trained:
    """What learns in a model, which is on the meta device."""
    names = module.parts.keys() if isinstance(getattr(module, "parts", None), nn.ModuleDict) else ()
    weights = _weights(module)
    sizes: dict[str, int] = {}
    for name, weight in weights.items():
        part = part_of(name, names)
        sizes[part] = sizes.get(part, 0) + weight.numel()
    total = sum(sizes.values())
    if learns is None:
        return Trained(total, {}, sizes, {})
    whole = {p: n for p, n in sizes.items() if learns.parts is None or p in learns.parts}
    module.requires_grad_(False)
    for name, weight in weights.items():
        weight.requires_grad_(part_of(name, names) in whole)
    roles = {role: list(own) for role, own in split_roles(module).items()}
    parts = dict(whole)
    for part, added in _beside(module, weights, learns, names).items():
        parts[part] = parts.get(part, 0) + sum(weight.numel() for weight in added)
        roles.setdefault("matrix", []).extend(added)
    return Trained(total, parts, sizes, roles)


def optimiser_bytes(stage: Stage, trained: Mapping[str, Trained]) -> dict[str, int | None]:
    """What the optimiser keeps for each model: found by one step on weights without numbers.

    None where it looks at the numbers, so that nobody can tell.
    """
    found: dict[str, int | None] = {}
    players = {model: player for player in stage.players for model in player.learns}
    for model, own in trained.items():
        player = players[model]
        groups = [{"params": list(ws), "name": f"{model}/{role}", "role": role, **player.groups.get(model, {})}
                  for role, ws in own.roles.items()]  # fmt: skip
        optimiser: torch.optim.Optimizer = resolve(player.optim.builder)(groups, player.config)
        for weight in (w for group in groups for w in group["params"]):
            weight.grad = torch.empty_like(weight)
        try:
            optimiser.step()
        except (NotImplementedError, RuntimeError):  # it needs the numbers
            found[model] = None
            continue
        kept = [x for state in optimiser.state.values() for x in state.values() if isinstance(x, Tensor)]
        found[model] = sum(x.numel() * x.element_size() for x in kept)
    return found


def _weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights by their names in a file, shared ones once."""
    own = dict(module.named_parameters())
    return {saved: own[name] for saved, name in saved_names(module).items() if name in own}


def _beside(
    module: nn.Module, weights: Mapping[str, nn.Parameter], learns: Learns, names: object
) -> dict[str, list[nn.Parameter]]:
    """Factors and rows that learn in place of whole weights, by part."""
    parts = tuple(names) if not isinstance(names, tuple) else names  # type: ignore[call-overload]
    found: dict[str, list[nn.Parameter]] = {}

    def add(layer: str, *shapes: tuple[int, ...]) -> None:
        made = [nn.Parameter(torch.empty(shape, device="meta")) for shape in shapes]
        found.setdefault(part_of(layer, parts), []).extend(made)

    for layer in learns.lora.layers if learns.lora is not None else ():
        rows, *inner = weights[f"{layer}.weight"].shape
        rank = learns.lora.rank if learns.lora is not None else 0
        add(layer, (rank, *inner), (rows, rank))
    for table in learns.tables:
        owners = {id(weight): (layer, weight) for layer, weight in _tables(module, reversed(table.layers))}
        for layer, weight in owners.values():  # tied layers share their rows
            add(layer, (len(table.rows), weight.shape[1]))
    return found


def _tables(module: nn.Module, layers: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    for layer in layers:
        weight = module.get_submodule(full_name(module, layer)).weight
        assert isinstance(weight, Tensor)
        yield layer, weight
