"""`recompute:` of a stage -> parts that keep their input and compute the rest again in the backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmm_graph.errors import InputError, Place, did_you_mean, problem
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built
from mmm_graph.train.reach import WHOLE, needed_models, part_names


def find_recomputed(
    graph: Graph, registry: Registry, said: Mapping[str, Sequence[str]], place: Place | None, stage: str
) -> dict[str, tuple[str, ...]]:
    """Parts by model, of the patterns of parts by patterns of models.

    Raises:
        InputError: E811, a pattern that no model, or no part, has.
    """
    tables = {name: part_names(graph, registry, name) for name in sorted(needed_models(graph))}
    tables = {name: parts for name, parts in tables.items() if parts != (WHOLE,)}
    found: dict[str, dict[str, None]] = {}
    for models, patterns in said.items():
        named = [name for name in tables if fnmatchcase(name, models)]
        if not named:
            what = f"stage {stage}: no model with parts is named {models!r}"
            raise InputError(problem("E811", what, place, did_you_mean(models, tables)))
        parts = {part for name in named for part in tables[name]}
        idle = [p for p in patterns if not any(fnmatchcase(part, p) for part in parts)]
        if idle:
            what = f"stage {stage}: {', '.join(named)} has no part {idle[0]!r}"
            raise InputError(problem("E811", what, place, did_you_mean(idle[0], parts)))
        for name in named:
            chosen = [part for part in tables[name] if any(fnmatchcase(part, p) for p in patterns)]
            found.setdefault(name, {}).update(dict.fromkeys(chosen))
    return {name: tuple(parts) for name, parts in found.items() if parts}


def recompute_parts(built: Mapping[str, Built], parts: Mapping[str, Sequence[str]]) -> None:
    """Let these parts keep no more than their input where gradients flow; what they compute stays what it is."""
    for model, names in parts.items():
        table = built[model].object.parts
        for name in names:
            _recompute(table[name])


def _recompute(part: nn.Module) -> None:
    forward = part.forward

    def again(state: Mapping[str, Any]) -> Mapping[str, Any]:
        if not torch.is_grad_enabled():
            return forward(state)  # type: ignore[no-any-return]
        # A copy: the caller puts what this part writes into its own.
        return checkpoint(forward, dict(state), use_reentrant=False)  # type: ignore[no-any-return]

    part.forward = again
