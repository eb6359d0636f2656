"""Checkpoint -> a module's weights: strict, tensor by tensor, in place of what was built on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.reader import Checkpoint
from mmm_graph.errors import Place, RunError, problem

PARTS = "parts."
"""A model's parts are a ModuleDict of that name; saved names leave it out."""
SHOWN = 8


def saved_names(module: nn.Module) -> dict[str, str]:
    """Name in a file -> name in the module, of everything that is saved."""
    return {name.removeprefix(PARTS): name for name in module.state_dict()}


def load_module(
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    prefix: str = "",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    what: str = "the model",
    place: Place | None = None,
    keep: Callable[[str], bool] = lambda name: True,
) -> None:
    """Give every weight and saved buffer its value from the checkpoint.

    Args:
        module: built on any device, "meta" too; its tensors are replaced.
        prefix: only names below it are read; the rest of the checkpoint belongs to others.
        dtype: of floating-point tensors; None = what the module was built with.
        what: whose weights, for errors.
        keep: whether a tensor, by its name in the module, is wanted; the others are not read.

    Raises:
        RunError: E610, names that are missing, unused or of another shape; all of them.
    """
    start = f"{prefix}." if prefix else ""
    there = {name.removeprefix(start): name for name in checkpoint.files if name.startswith(start)}
    state, names = module.state_dict(keep_vars=True), saved_names(module)
    alike = _tied(state)
    missing = sorted(
        n for n, own in names.items() if not any(a.removeprefix(PARTS) in there for a in alike[own])
    )
    unused = sorted(there.keys() - names.keys())
    shapes = [
        f"{n}: {list(checkpoint.shapes[there[n]])} in the file, {list(state[own].shape)} in the model"
        for n, own in names.items()
        if n in there and checkpoint.shapes[there[n]] != tuple(state[own].shape)
    ]
    if missing or unused or shapes:
        lists = (("missing", missing), ("not used", unused), ("of another shape", shapes))
        found = "; ".join(f"{len(v)} {k} ({_some(v)})" for k, v in lists if v)
        message = f"{what}: {checkpoint.path}{'#' + prefix if prefix else ''} does not fit: {found}"
        raise RunError(problem("E610", message, place, "the config and the file must be of the same model"))
    targets = {there[n]: own for n, own in names.items() if n in there and any(map(keep, alike[own]))}
    for name, value in checkpoint.read(list(targets), device):
        own = targets[name]
        cast = dtype or state[own].dtype
        new = value.to(cast) if value.is_floating_point() and value.dtype != cast else value
        _assign(module, alike[own], new, state[own])


def _tied(state: dict[str, Tensor]) -> dict[str, list[str]]:
    """Names of one and the same tensor, by each of them."""
    groups: dict[int, list[str]] = {}
    for name, value in state.items():
        groups.setdefault(id(value), []).append(name)
    return {name: group for group in groups.values() for name in group}


def _assign(module: nn.Module, names: Iterable[str], value: Tensor, old: Tensor) -> None:
    new = nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value
    for name in names:
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        table = owner._parameters if leaf in owner._parameters else owner._buffers
        table[leaf] = new  # type: ignore[assignment]


def _some(names: list[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
