"""Parts of models between the blocks of another, as the host's path calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.graph.attached import own_keys
from mmm_graph.registry.part import Part
from mmm_graph.runtime.build import Built

State = Mapping[str, Any]
Run = Callable[[State], Mapping[str, Any]]


def part_of_guest(built: Built, key: str, part: Part, name: str, host: Built) -> Run:
    """A part of an attached model, under the state keys that its host has for it.

    Args:
        key: of the part in the attached model.
        part: as its kind declares it.
        name: in the host's table.
        host: whose dtype everything around has; a guest of another computes in its own.
    """
    run: Run = built.object.parts[key]
    names = own_keys(part, name)
    if names:
        run = _renamed(run, names)
    mine, theirs = _dtype(built.object), _dtype(host.object)
    return run if mine is theirs or mine is None else _cast(run, mine)


def _renamed(run: Run, names: Mapping[str, str]) -> Run:
    def renamed(state: State) -> Mapping[str, Any]:
        own = {**state, **{key: state.get(there) for key, there in names.items()}}
        return {names.get(key, key): value for key, value in run(own).items()}

    return renamed


def _cast(run: Run, dtype: torch.dtype) -> Run:
    """What it writes over something comes back in the dtype of that."""

    def cast(state: State) -> Mapping[str, Any]:
        found = run({key: _to(value, dtype) for key, value in state.items()})
        return {k: _to(v, state[k].dtype) if _is_float(state.get(k)) else v for k, v in found.items()}

    return cast


def _to(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if _is_float(value) else value


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _dtype(module: nn.Module) -> torch.dtype | None:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
