"""Checkpoint -> a module's weights: strict, tensor by tensor, in place of what was built on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.reader import Checkpoint
from mmm_graph.errors import Place, RunError, problem
from mmm_graph.registry.layout import Layout, Theirs

PARTS = "parts."
"""A model's parts are a ModuleDict of that name; saved names leave it out."""


def saved_names(module: nn.Module) -> dict[str, str]:
    """Name in a file -> name in the module, of everything that is saved."""
    return {name.removeprefix(PARTS): name for name in module.state_dict()}


def load_module(  # noqa: PLR0913 - all that decides about the weights of one model
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    prefix: str = "",
    layouts: Sequence[Layout] = (),
    config: Any = None,
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
        layouts: in which the file may be, beside our own.
        config: of the model, for layouts whose names depend on it.
        dtype: of floating-point tensors; None = what the module was built with.
        what: whose weights, for errors.
        keep: whether a tensor, by its name in the module, is wanted; the others are not read.

    Raises:
        RunError: E610, names that are missing, unused or of another shape; all of them. E611, copies of one tensor
            that differ. E614, whole numbers where the model has others.
    """
    start = f"{prefix}." if prefix else ""
    there = {n.removeprefix(start): shape for n, shape in checkpoint.shapes.items() if n.startswith(start)}
    state, names = module.state_dict(keep_vars=True), saved_names(module)
    alike = _tied(state)
    short = {n: [other.removeprefix(PARTS) for other in alike[own]] for n, own in names.items()}
    shapes = {n: tuple(state[own].shape) for n, own in names.items()}
    fit = find_fit(shapes, there, alike=short, layouts=layouts, config=config)
    if fit.problems:
        name = f"{checkpoint.path}{'#' + prefix if prefix else ''}"
        message = f"{what}: {name} does not fit: {fit.describe()}"
        raise RunError(problem("E610", message, place, "the config and the file must be of the same model"))
    wanted = {n: p for n, p in fit.where.items() if any(map(keep, alike[names[n]]))}
    for name, value in _read(checkpoint, start, wanted, device, what):
        own = names[name]
        if value.is_floating_point() != state[own].is_floating_point():
            message = (
                f"{what}: {name} in {checkpoint.path} is {_word(value)}, the model needs {_word(state[own])}"
            )
            raise RunError(
                problem("E614", message, place, "a quantised file cannot be read; fetch the full one")
            )
        cast = dtype or state[own].dtype
        new = value.reshape(state[own].shape)
        new = new.to(cast) if new.is_floating_point() and new.dtype != cast else new
        _assign(module, alike[own], new, state[own])


def _read(
    checkpoint: Checkpoint, start: str, wanted: Mapping[str, Theirs], device: torch.device | str, what: str
) -> Iterator[tuple[str, Tensor]]:
    """(our name, value), each tensor of theirs read once; what they keep several times is compared."""
    readers: dict[str, list[str]] = {}
    for name, place in wanted.items():
        for their in place.names:
            readers.setdefault(start + their, []).append(name)
    first: dict[str, Tensor] = {}
    for their, value in checkpoint.read(list(readers), device):
        for name in readers[their]:
            place = wanted[name]
            if name in first and not torch.equal(first[name], value):
                message = f"{what}: {their} in {checkpoint.path} should be a copy of {start}{place.names[0]}"
                raise RunError(problem("E611", message, None, "this model has only one of it"))
            if name in first:
                continue
            if len(place.names) > 1:
                first[name] = value
            piece = value if place.count == 1 else value.chunk(place.count)[place.index].clone()
            yield name, piece


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


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
